#pragma once
// Users: the node's users and their credentials. The table may be looked at from any loop; changes
// are made on the loop of the Users, one at a time (others go there by run_on()).
//
// Durable: every user is a record of the compacted stream kUsersStream (layout in records.h). A
// change is answered, and seen, only when its records are durable; load() reads all of it again.

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "broker/auth/records.h"
#include "broker/auth/user_table.h"
#include "broker/waiters.h"
#include "io/network.h"
#include "log/engine.h"

namespace walrus::broker {

constexpr Bytes kUsersStream = "__users";

class Users : public std::enable_shared_from_this<Users> {
 public:
  using Table = std::shared_ptr<const UserTable>;

  // Reads what is durable. kCorrupt: a record is not ours; kVersion.
  static Result<std::shared_ptr<Users>> load(log::Engine&, io::Loop&);

  io::Loop& loop() { return loop_; }
  Table table() const { return table_.load(std::memory_order_acquire); }  // any thread

  // `plan` says what to change, on the state that it will be applied to; its error is answered, and
  // nothing changes. All of it or nothing. kTooLarge: above kUsersMax.
  using Plan = std::function<Result<std::vector<CredentialChange>>(const UserTable&)>;
  io::Task<void> change(Plan plan);

 private:
  Users(log::Engine&, io::Loop&);
  Result<void> read_all(UserTable&);
  io::Task<void> take_turn();
  void end_turn();
  io::Task<void> change_now(const Plan&);
  io::Task<void> store(const std::vector<UserRecord>&);
  io::Task<void> durable(log::Pending);

  log::Engine& engine_;
  io::Loop& loop_;
  std::optional<log::StreamRef> stream_;  // none: there never was a user
  std::atomic<Table> table_;
  bool busy_ = false;
  Waiters turns_;
};

// Afterwards the user has these credentials and no others; none: it is removed. kExists, where it
// has to be new; kNotFound, where it has not.
enum class UserChange : std::uint8_t { kAdd, kReplace };
Users::Plan plan_user(std::string name, Credentials, UserChange);

}  // namespace walrus::broker
