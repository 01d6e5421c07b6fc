// Users of a simulated server, by TLS and SCRAM over a network that cuts, while the server is
// killed and cut off from power: a user that was acknowledged is there with that password, one that
// was removed is not, and nobody gets in by another password.

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/coding.h"
#include "net/test_certificates.h"
#include "server/sim_server.h"
#include "wire/native/request.h"

namespace walrus::server {
namespace {

namespace native = wire::native;
namespace sasl = wire::sasl;

constexpr auto kSha256 = sasl::ScramMechanism::kSha256;
constexpr Bytes kAdmin = "admin", kAdminPassword = "root";

// What may be true of each user: its password, "" for: there is no such user.
class UsersModel {
 public:
  void changed(const std::string& user, const std::string& password) { may_[user] = {password}; }
  void maybe_changed(const std::string& user, const std::string& password) {
    may(user).insert(password);
  }
  std::set<std::string>& may(const std::string& user) {
    auto& known = may_[user];
    if (known.empty()) known.insert("");
    return known;
  }
  bool exists(const std::string& user) { return !may(user).contains(""); }
  bool surely_gone(const std::string& user) { return may(user) == std::set<std::string>{""}; }
  void logged_in(const std::string& user, const std::string& password) {
    ASSERT_TRUE(may(user).contains(password)) << user << " got in by " << password;
    changed(user, password);
  }
  void refused(const std::string& user, const std::string& password) {
    may(user).erase(password);
    ASSERT_FALSE(may_[user].empty()) << user << " was not let in by " << password;
  }

 private:
  std::map<std::string, std::set<std::string>> may_;
};

class UsersRun : private SimServer {
 public:
  UsersRun(std::uint64_t seed, const Faults& faults) : SimServer(seed), faults_(faults) {
    auto& env = world_.node(0).env();
    auto ca = net::make_certificate({.common_name = "CA", .ca = true}, env.wall());
    auto own = net::make_certificate(
        {.common_name = "server", .names = "IP:" + world_.node(0).host()}, env.wall(), &ca);
    use_tiny_journals();
    options_.security.tls.files = net::write_test_files(env.disk(), "/tls", "server", ca, own);
    EXPECT_TRUE(env.disk().sync_directory("/").has_value());
    options_.security.tls.files.ca.clear();
    options_.security.native.tls = true;
    auto& here = world_.node(1).env();
    auto files = net::write_test_files(here.disk(), "/tls", "client", ca, own);
    auto client = net::TlsClient::open(here, {.files = {.ca = files.ca}});
    EXPECT_TRUE(client.has_value());
    tls_ = *client;
  }
  ~UsersRun() { admin_.reset(); }

  void go(int operations) {
    // The first user, while nobody is asked; then everybody is.
    start_server();
    admin_ = connect();
    ASSERT_NE(admin_, nullptr);
    ASSERT_EQ(admin_->ask(change("USERADD", kAdmin, kAdminPassword)), "OK");
    admin_.reset();
    ASSERT_TRUE(server_->stop().has_value());
    server_.reset();
    options_.security.native.mechanisms = {sasl::Mechanism::kScramSha256};
    start_server();
    world_.network().set_all_links({.reset = faults_.reset});
    for (int i = 0; i < operations && !failed(); ++i) {
      if (world_.random() % 10 == 0)
        world_.node(0).crash_after_ops(1 + world_.random() % 40, faults_.crash);
      auto user = fmt::format("user{}", world_.random() % 4);
      switch (world_.random() % 4) {
        case 0: log_in(user); break;
        case 1: remove(user); break;
        default: set(user, fmt::format("password{}", i));
      }
    }
    world_.node(0).crash_after_ops(0, faults_.crash);
    world_.network().set_all_links({});
    if (failed()) return;
    world_.node(0).crash(faults_.crash);
    restart();
    for (int i = 0; i < 4 && !failed(); ++i) {
      auto user = fmt::format("user{}", i);
      auto may = model_.may(user);
      for (const auto& password : may) check(user, password.empty() ? "none" : password);
      check(user, "wrong");
    }
  }
  std::int64_t crashes() const { return crashes_; }
  std::int64_t changes() const { return changes_; }
  std::int64_t logins() const { return logins_; }

 private:
  static bool failed() {
    return testing::Test::HasFatalFailure() || testing::Test::HasNonfatalFailure();
  }
  void restart() {
    admin_.reset();
    restart_server();
  }
  void broken() {
    admin_.reset();
    // What a server that lives has begun is done before anything is asked again.
    world_.run_for(std::chrono::seconds(1));
    if (world_.node(0).crashed()) restart();
  }

  std::unique_ptr<TestClient> connect() {
    auto secured = loop_.block<std::unique_ptr<io::Connection>>(
        [this] { return connect_tls(loop_.loop(), tls_, options_.native.listen); });
    if (!secured) return nullptr;
    return std::make_unique<TestClient>(loop_, std::move(*secured));
  }
  static io::Task<std::unique_ptr<io::Connection>> connect_tls(io::Loop& loop,
                                                               std::shared_ptr<net::TlsClient> tls,
                                                               std::string address) {
    WALRUS_CO_ASSIGN(auto plain, co_await loop.connect(address, kTestDeadline));
    co_return co_await tls->secure(loop, std::move(plain), address, kTestDeadline);
  }

  enum class Login { kDone, kRefused, kBroken };
  Login prove(TestClient& client, const std::string& user, const std::string& password) {
    sasl::ScramClient scram(kSha256, user, password, fmt::format("{:x}", world_.random()));
    auto challenge = client.ask("AUTH SCRAM-SHA-256 " + scram.first());
    if (!challenge.starts_with("OK ")) return Login::kBroken;
    auto proof = scram.answer(challenge.substr(3));
    EXPECT_TRUE(proof.has_value());
    auto last = client.ask("AUTH SCRAM-SHA-256 " + *proof);
    if (last == "ERR authentication failed") return Login::kRefused;
    if (!last.starts_with("OK ")) return Login::kBroken;
    EXPECT_TRUE(scram.verify(last.substr(3)).has_value());
    return Login::kDone;
  }
  bool admit_admin() {
    if (admin_) return true;
    admin_ = connect();
    if (!admin_) {
      broken();
      return false;
    }
    auto login = prove(*admin_, std::string(kAdmin), std::string(kAdminPassword));
    EXPECT_NE(login, Login::kRefused);
    if (login != Login::kDone) broken();
    return login == Login::kDone;
  }

  std::string change(Bytes command, Bytes user, Bytes password) {
    std::string salt;
    while (salt.size() < 16) append_le(salt, world_.random());
    auto salted = sasl::salted_password(kSha256, password, salt, 4096);
    auto credential = sasl::scram_credential(kSha256, salted, salt, 4096);
    std::string frame;
    if (command == "USERADD")
      native::append_request(frame, native::AddUser{user, {{kSha256, credential}}});
    else native::append_request(frame, native::SetUser{user, {{kSha256, credential}}});
    return frame.substr(native::kFrameHeaderBytes);
  }
  void set(const std::string& user, const std::string& password) {
    if (!admit_admin()) return;
    bool add = !model_.exists(user) && (model_.surely_gone(user) || world_.random() % 2 == 0);
    auto reply = admin_->ask(change(add ? "USERADD" : "USERSET", user, password));
    if (reply == "OK") {
      ++changes_;
      return model_.changed(user, password);
    }
    if (reply == (add ? "ERR user exists " : "ERR unknown user ") + user) return told(user, add);
    model_.maybe_changed(user, password);
    broken();
  }
  // The server says that the user exists, or that it does not: one of what may be true.
  void told(const std::string& user, bool exists) {
    if (exists) {
      ASSERT_FALSE(model_.surely_gone(user));
      model_.may(user).erase("");
    } else {
      ASSERT_FALSE(model_.exists(user));
      model_.changed(user, "");
    }
  }
  void remove(const std::string& user) {
    if (!admit_admin()) return;
    auto reply = admin_->ask("USERDELETE " + user);
    if (reply == "OK") {
      ASSERT_FALSE(model_.surely_gone(user));
      ++changes_;
      return model_.changed(user, "");
    }
    if (reply == "ERR unknown user " + user) return told(user, false);
    model_.maybe_changed(user, "");
    broken();
  }

  void log_in(const std::string& user) {
    auto may = model_.may(user);
    auto password = *may.rbegin();
    if (password.empty() || world_.random() % 3 == 0) password = "wrong";
    check(user, password);
  }
  void check(const std::string& user, const std::string& password) {
    auto client = connect();
    if (!client) return broken();
    auto login = prove(*client, user, password);
    if (login == Login::kDone) {
      model_.logged_in(user, password);
      ++logins_;
      auto served = client->ask("USERS");
      EXPECT_TRUE(served.starts_with("[") || served.starts_with("<")) << served;  // < is a cut
    }
    if (login == Login::kRefused) model_.refused(user, password);
    client.reset();
    if (login == Login::kBroken) broken();
  }

  Faults faults_;
  std::shared_ptr<net::TlsClient> tls_;
  std::unique_ptr<TestClient> admin_;
  UsersModel model_;
  std::int64_t changes_ = 0, logins_ = 0;
};

class SecuritySimTest : public testing::TestWithParam<Faults> {};

TEST_P(SecuritySimTest, users_are_what_was_acknowledged) {
  constexpr std::uint64_t kSeeds = 60;
  std::int64_t crashes = 0, changes = 0, logins = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    UsersRun run(seed, GetParam());
    run.go(60);
    crashes += run.crashes();
    changes += run.changes();
    logins += run.logins();
    if (HasFatalFailure() || HasNonfatalFailure()) return;
  }
  std::printf("%llu seeds, %lld crashes, %lld changes acknowledged, %lld logins\n",
              static_cast<unsigned long long>(kSeeds), static_cast<long long>(crashes),
              static_cast<long long>(changes), static_cast<long long>(logins));
  EXPECT_GE(crashes, static_cast<std::int64_t>(kSeeds));
  EXPECT_GE(changes, static_cast<std::int64_t>(kSeeds) * 10);
  EXPECT_GE(logins, static_cast<std::int64_t>(kSeeds) * 2);
}

INSTANTIATE_TEST_SUITE_P(, SecuritySimTest, kEachFault, fault_name);

}  // namespace
}  // namespace walrus::server
