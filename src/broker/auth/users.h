#pragma once
// Users: who there is and by which credentials. The table may be looked at from any loop; changes
// are made on the loop of the Users (others go there by run_on()). There are those of this node
// alone, by load(), and those of a cluster (cluster/cluster_users.h).
//
// Durable, of this node's: every user is a record of the compacted stream kUsersStream (layout in
// records.h). A change is answered, and seen, only when its records are durable; load() reads all
// of it again. Changes are made one at a time, all of one or nothing.

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

class Users {
 public:
  using Table = std::shared_ptr<const UserTable>;

  // This node's. Reads what is durable. kCorrupt: a record is not ours; kVersion.
  static Result<std::shared_ptr<Users>> load(log::Engine&, io::Loop&);
  explicit Users(io::Loop& loop) : loop_(loop) {}
  virtual ~Users() = default;

  io::Loop& loop() { return loop_; }
  Table table() const { return table_.load(std::memory_order_acquire); }  // any thread

  // `plan` says what to change, on the state that it will be applied to, perhaps more than once;
  // its error is answered, and nothing changes. kTooLarge: above kUsersMax.
  using Plan = std::function<Result<std::vector<CredentialChange>>(const UserTable&)>;
  virtual io::Task<void> change(Plan plan) = 0;

 protected:
  void publish(UserTable table) {
    table_.store(std::make_shared<const UserTable>(std::move(table)), std::memory_order_release);
  }

 private:
  io::Loop& loop_;
  std::atomic<Table> table_;
};

// Afterwards the user has these credentials and no others; none: it is removed. kExists, where it
// has to be new; kNotFound, where it has not.
enum class UserChange : std::uint8_t { kAdd, kReplace };
Users::Plan plan_user(std::string name, Credentials, UserChange);

}  // namespace walrus::broker
