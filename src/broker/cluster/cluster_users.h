#pragma once
// ClusterUsers: the users of the cluster, as metadata has them. Any node may change them; a change
// is answered when it is committed and this node has learned it. One that names several users is
// done for all of them or, where another change comes between, anew.

#include "broker/auth/users.h"
#include "broker/cluster/bridge.h"

namespace walrus::broker {

class ClusterUsers final : public Users {
 public:
  static std::shared_ptr<Users> make(std::shared_ptr<Bridge>);  // on the cluster's loop
  explicit ClusterUsers(std::shared_ptr<Bridge>);
  io::Task<void> change(Plan plan) override;

 private:
  void learn(const ImageRef&);

  const std::shared_ptr<Bridge> bridge_;
  meta::Version seen_{};
};

}  // namespace walrus::broker
