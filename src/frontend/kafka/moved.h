#pragma once
// Moved: what a connection is told of partitions that have moved to another node a moment ago. What
// a producer sends here still is handed on there, and costs it nothing; but nothing tells it where
// to send instead. Told for each of them that this node leads it no more, it would pause for each
// (librdkafka 100 ms). So it is told for one, and learns of all: Kafka's clients then ask for the
// metadata of the whole topic.
//
// Pure; owned by the connection.

#include "base/ids.h"
#include "io/env.h"

namespace walrus::frontend::kafka {

class Moved {
 public:
  // So long after the first that was handed on one is told, that the other nodes know as well who
  // leads now; and again, while more is handed on. What is told of stays told as long, lest a
  // later batch of it overtakes that one.
  static constexpr io::Nanos kEvery = std::chrono::milliseconds(100);
  static constexpr io::Nanos kOver = std::chrono::seconds(1);  // nothing came: it begins anew

  // An append came for a partition that has moved. Whether it is told so; else it is handed on.
  bool tells(const PartitionId& id, io::Nanos now) {
    if (id == told_ && now < next_) return true;
    if (now >= next_ + kOver) {
      told_ = {};
      next_ = now + kEvery;
    }
    if (now < next_) return false;
    told_ = id;
    next_ = now + kEvery;
    return true;
  }

 private:
  PartitionId told_{};
  io::Nanos next_ = -kOver;
};

}  // namespace walrus::frontend::kafka
