#include <nlohmann/json.hpp>

#include "base/coding.h"
#include "broker/auth/users.h"
#include "cli/output.h"
#include "cli/password.h"
#include "cli/session.h"
#include "io/runner.h"
#include "log/directory.h"
#include "wire/native/reply.h"
#include "wire/native/request.h"
#include "wire/sasl/mechanism.h"

namespace walrus::cli {
namespace {

namespace native = wire::native;
namespace sasl = wire::sasl;
using Json = nlohmann::ordered_json;

struct UserFlags {
  std::string name, password_file, data_dir, key;
  std::int32_t iterations = sasl::kIterationsMin;
};

// Of both hashes, so that any client may choose.
std::vector<native::UserCredential> credentials_of(Bytes password, std::int32_t iterations) {
  std::vector<native::UserCredential> all;
  for (auto mechanism : {sasl::ScramMechanism::kSha256, sasl::ScramMechanism::kSha512}) {
    std::string salt;
    while (salt.size() < sasl::kSaltBytes) append_le(salt, io::real_env().random());
    auto salted = sasl::salted_password(mechanism, password, salt, iterations);
    all.push_back({mechanism, sasl::scram_credential(mechanism, salted, salt, iterations)});
  }
  return all;
}

// The users of a directory that no server has open: how the first one is made.
class Directory {
 public:
  // `make`: a directory that is not there yet, too.
  static Result<std::unique_ptr<Directory>> open(const UserFlags& flags, bool make) {
    auto& env = io::real_env();
    log::EngineOptions options;
    options.user.root = flags.data_dir;
    options.user.key = flags.key;
    WALRUS_ASSIGN(bool there, env.disk().exists(flags.data_dir));
    if (!there && !make) return fail(Code::kNotFound, "{}: no such directory", flags.data_dir);
    if (there) {
      WALRUS_ASSIGN(auto identity, log::read_identity(env, flags.data_dir));
      if (identity) options.user.shards = identity->shards;
    }
    std::unique_ptr<Directory> directory(new Directory(env));
    WALRUS_ASSIGN(directory->engine_, log::Engine::open(env, options));
    WALRUS_ASSIGN(directory->users_,
                  broker::Users::load(*directory->engine_, directory->runner_.loop()));
    return directory;
  }
  ~Directory() { runner_.stop(); }

  Result<void> change(const broker::Users::Plan& plan) {
    WALRUS_TRY(runner_.run<void>([users = users_, plan] { return users->change(plan); }));
    return engine_->close();
  }
  broker::Users::Table table() const { return users_->table(); }

 private:
  explicit Directory(io::Env& env) : runner_(env) {}
  std::unique_ptr<log::Engine> engine_;
  io::Runner runner_;
  std::shared_ptr<broker::Users> users_;
};

Result<std::string> ask_server(const Globals& globals, Bytes what, const native::Request& request) {
  WALRUS_ASSIGN(auto client, connect(globals));
  return ask(client, what, request);
}

// Sets, by a server or in a directory. No credentials: removes.
Result<void> change_user(const Globals& globals, const UserFlags& flags, Bytes what,
                         std::vector<native::UserCredential> credentials, bool add) {
  if (!flags.data_dir.empty()) {
    broker::Credentials stored;
    for (auto& [mechanism, credential] : credentials) stored[mechanism] = std::move(credential);
    auto change = add ? broker::UserChange::kAdd : broker::UserChange::kReplace;
    WALRUS_ASSIGN(auto directory, about(what, Directory::open(flags, add)));
    return about(what, directory->change(broker::plan_user(flags.name, std::move(stored), change)));
  }
  native::Request request = native::DeleteUser{flags.name};
  if (add) request = native::AddUser{flags.name, std::move(credentials)};
  else if (!credentials.empty()) request = native::SetUser{flags.name, std::move(credentials)};
  WALRUS_ASSIGN(auto reply, ask_server(globals, what, request));
  return about(what, native::parse_ok(reply));
}

Result<int> told(const Globals& globals, const UserFlags& flags, Bytes done) {
  if (globals.json) WALRUS_TRY(print_json({{"name", flags.name}}));
  else if (!globals.quiet) WALRUS_TRY(print_line(fmt::format("{} {}", done, flags.name)));
  return kExitDone;
}

Result<int> set_user(const Globals& globals, const UserFlags& flags, Bytes verb, bool add) {
  auto what = fmt::format("user {} {}", verb, flags.name);
  // A name that the protocol cannot carry is refused before anybody is asked for a password.
  if (!sasl::valid_user_name(flags.name) || flags.name.contains(' '))
    return fail(Code::kInvalid, "{}: invalid user name: UTF-8 without spaces, at most {} bytes",
                what, sasl::kUserNameBytesMax);
  WALRUS_ASSIGN(auto password, about(what, new_password(flags.name, flags.password_file)));
  WALRUS_TRY(change_user(globals, flags, what, credentials_of(password, flags.iterations), add));
  return told(globals, flags, add ? "added" : "changed");
}

Result<int> add_one(const Globals& globals, const UserFlags& flags) {
  return set_user(globals, flags, "add", true);
}

Result<int> change_password(const Globals& globals, const UserFlags& flags) {
  return set_user(globals, flags, "passwd", false);
}

Result<int> remove_user(const Globals& globals, const UserFlags& flags) {
  auto what = fmt::format("user remove {}", flags.name);
  WALRUS_TRY(change_user(globals, flags, what, {}, false));
  return told(globals, flags, "removed");
}

Result<Json> list_of(const Globals& globals, const UserFlags& flags) {
  auto list = Json::array();
  if (!flags.data_dir.empty()) {
    WALRUS_ASSIGN(auto directory, about("user list", Directory::open(flags, false)));
    for (const auto& [name, credentials] : directory->table()->users()) {
      auto each = Json::array();
      for (const auto& [mechanism, credential] : credentials)
        each.push_back({{"mechanism", std::string(sasl::scram_name(mechanism))},
                        {"iterations", credential.iterations}});
      list.push_back({{"name", name}, {"credentials", each}});
    }
    return list;
  }
  WALRUS_ASSIGN(auto text, ask_server(globals, "user list", native::ListUsers{}));
  list = Json::parse(text, nullptr, false);
  if (!list.is_array()) return fail(Code::kCorrupt, "user list: not the reply of a Walrus server");
  return list;
}

Result<int> list_users(const Globals& globals, const UserFlags& flags) {
  WALRUS_ASSIGN(auto list, list_of(globals, flags));
  if (globals.json) {
    WALRUS_TRY(print_json(list));
    return kExitDone;
  }
  Table table({"user", "mechanisms"});
  for (const auto& user : list) {
    if (!user.is_object()) continue;
    std::string mechanisms;
    for (const auto& one : user.value("credentials", Json::array()))
      mechanisms += (mechanisms.empty() ? "" : " ") + one.value("mechanism", std::string());
    auto name = user.value("name", std::string());
    if (globals.quiet) WALRUS_TRY(print_line(name));
    table.add({name, mechanisms});
  }
  if (!globals.quiet) WALRUS_TRY(print(table.text()));
  return kExitDone;
}

}  // namespace

void add_user(CommandLine& line) {
  auto flags = std::make_shared<UserFlags>();
  auto user = line.root().family("user", "Who may log in: list, add, passwd, remove");
  auto verb = [&line, user, flags](const char* name, const char* help,
                                   Result<int> (*act)(const Globals&, const UserFlags&)) {
    auto added = line.add(user, name, help,
                          [flags, act](const Globals& globals) { return act(globals, *flags); });
    added
        .option("--data-dir", flags->data_dir,
                "In this directory, which no server has open, instead of by a server")
        .type_name("DIR");
    added.option("--namespace", flags->key, "A namespace of --data-dir").type_name("NAME");
    return added;
  };
  verb("list", "All users; with --quiet their names", list_users);
  for (auto changes : {verb("add", "Add a user", add_one),
                       verb("passwd", "Change a user's password", change_password)}) {
    changes.option("user", flags->name, "Name").required();
    changes
        .option("--new-password-file", flags->password_file,
                "The first line is the user's password; -: stdin. Without it the terminal is "
                "asked")
        .type_name("FILE");
    changes.option("--iterations", flags->iterations, "How dear a guess is")
        .range(sasl::kIterationsMin, sasl::kIterationsMax)
        .default_shown();
  }
  verb("remove", "Remove a user; its connections stay", remove_user)
      .option("user", flags->name, "Name")
      .required();
}

}  // namespace walrus::cli
