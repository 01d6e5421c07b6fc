#pragma once
// What this broker serves: one table of APIs with their versions and handlers, out of which the
// answer to ApiVersions falls. A handler is a function from a request to a response; it lives on
// the loop of its connection, and reaches topics through broker::Local only.

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "broker/auth/authentication.h"
#include "broker/broker.h"
#include "broker/group/coordinators.h"
#include "frontend/kafka/errors.h"
#include "frontend/kafka/fetch_session.h"
#include "frontend/kafka/moved.h"
#include "meta/message.h"
#include "replica/arrears.h"
#include "wire/kafka/api.h"
#include "wire/kafka/cluster.h"
#include "wire/kafka/configs.h"
#include "wire/kafka/data.h"
#include "wire/kafka/groups.h"
#include "wire/kafka/header.h"
#include "wire/kafka/security.h"
#include "wire/kafka/topics.h"

namespace walrus::frontend::kafka {

// The node as clients see it.
struct NodeOptions {
  std::int32_t node_id = 1;
  std::string uuid = std::string(16, '\0');  // the directory's; ids are made of it
  std::string host = "127.0.0.1";            // advertised
  std::int32_t port = 9092;
  std::string rack{};                    // empty: in none
  std::uint32_t replication_factor = 1;  // of a topic whose maker names none
  bool auto_create_topics = true;
  bool acks_all = true;  // acks=1 waits like acks=all
  std::int32_t partitions_default = 1;
  std::int32_t partitions_max = 4096;             // of one topic
  std::int64_t fetch_bytes_max = 55 << 20;        // of one response, whatever a client asks for
  io::Nanos wait_max = std::chrono::minutes(30);  // of one request, whatever a client asks for
  // Of the node, by Kafka's names, beside what is above and what its topics have by default; shared
  // by all sessions.
  std::shared_ptr<const std::vector<broker::KafkaConfig>> settings{};
  // Of a node of a cluster: its metadata as of now, from any thread. None: a single server.
  std::function<std::shared_ptr<const meta::State>()> image{};
  // Likewise: clients wait for somebody to lead these partitions, who send them nothing before.
  std::function<void(std::vector<PartitionId>)> want{};
  // Likewise, from any loop: until this node knows which others have died by now.
  std::function<io::Task<void>(io::Loop& here)> learn_who_is_there{};
  // Likewise: who coordinates a group, from any loop; kBusy: nobody within the time. None: this
  // node does.
  std::function<io::Task<NodeId>(io::Loop& here, std::string group, io::Nanos timeout)>
      coordinator_of{};
  // Likewise: who leads the metadata, as of a moment ago; 0: nobody is known.
  std::function<NodeId()> leads_metadata{};
  // Likewise: a partition that waits for an operator's word goes on without what is lost
  // (broker::accept_any_loss); who is alive and which copies are being made, as the controller has
  // it.
  std::function<io::Task<void>(io::Loop& here, PartitionId, std::string by)> accept_loss{};
  std::function<io::Task<meta::Health>(io::Loop& here)> health{};
};

// Requests and responses of all sessions, taken together. One request at a time may go beyond the
// limit, so that each is read at last.
struct SessionMemory {
  std::int64_t bytes_max = 1 << 30;
  std::atomic<std::int64_t> bytes{0};
  std::atomic<bool> overdrawn{false};
  std::int64_t left() const { return bytes_max - bytes.load(std::memory_order_relaxed); }
};

// Responses in order, not yet written. Long records stay in the string that they were read into,
// and go out at their place in the text.
struct Output {
  struct Piece {
    std::size_t at = 0;
    std::string bytes{};
  };
  std::string text{};
  std::vector<Piece> pieces{};  // by place

  bool empty() const { return text.empty(); }
  std::size_t size() const { return text.size() + beside(0); }
  // Of the pieces from that place on.
  std::size_t beside(std::size_t start) const {
    std::size_t bytes = 0;
    for (auto piece = pieces.rbegin(); piece != pieces.rend() && piece->at >= start; ++piece)
      bytes += piece->bytes.size();
    return bytes;
  }
};

// One request under way. Views live until it is answered.
struct Call {
  broker::Local& local;
  const NodeOptions& node;
  broker::Interrupt& interrupt;                  // the connection ends: stop waiting
  std::shared_ptr<broker::Coordinators> groups;  // on their own loop
  FetchSessions& fetch_sessions;                 // of this loop
  SessionMemory* memory = nullptr;               // none: without a limit
  const broker::PortSecurity& security;
  broker::Authentication& authentication;  // the connection's
  replica::Arrears& arrears;               // of its producers: what was refused here before a log
  Moved& moved;                            // the connection's
  std::int16_t version = 0;
  Bytes client_id{};
  std::string client_host{};
  std::string user{};  // that it has proven to be; empty: nobody was asked
};

struct Handler {
  std::int16_t key = 0;
  // What ApiVersions tells, and what is served of it: librdkafka before 2.11 compresses only if
  // Produce begins at 0, although it asks for 7.
  wire::kafka::Versions advertised{}, served{};
  // The response may be far larger than the request: it waits for memory like one to be read.
  bool wide = false;
  // Appends the response's body. An error: the request is malformed, and the connection ends.
  io::Task<void> (*handle)(Call, Bytes body, Output& to) = nullptr;
};
std::span<const Handler> handlers();
const Handler* find_handler(std::int16_t key);

io::Task<wire::kafka::ApiVersionsResponse> api_versions(Call, wire::kafka::ApiVersionsRequest);
io::Task<wire::kafka::MetadataResponse> metadata(Call, wire::kafka::MetadataRequest);
io::Task<wire::kafka::DescribeTopicPartitionsResponse> describe_topic_partitions(
    Call, wire::kafka::DescribeTopicPartitionsRequest);
io::Task<wire::kafka::DescribeClusterResponse> describe_cluster(
    Call, wire::kafka::DescribeClusterRequest);
io::Task<wire::kafka::ListOffsetsResponse> list_offsets(Call, wire::kafka::ListOffsetsRequest);
io::Task<wire::kafka::OffsetForLeaderEpochResponse> offset_for_leader_epoch(
    Call, wire::kafka::OffsetForLeaderEpochRequest);
io::Task<wire::kafka::DeleteRecordsResponse> delete_records(Call,
                                                            wire::kafka::DeleteRecordsRequest);
io::Task<wire::kafka::InitProducerIdResponse> init_producer_id(Call,
                                                               wire::kafka::InitProducerIdRequest);
io::Task<wire::kafka::CreateTopicsResponse> create_topics(Call, wire::kafka::CreateTopicsRequest);
io::Task<wire::kafka::DeleteTopicsResponse> delete_topics(Call, wire::kafka::DeleteTopicsRequest);

io::Task<wire::kafka::FindCoordinatorResponse> find_coordinator(
    Call, wire::kafka::FindCoordinatorRequest);
io::Task<wire::kafka::JoinGroupResponse> join_group(Call, wire::kafka::JoinGroupRequest);
io::Task<wire::kafka::SyncGroupResponse> sync_group(Call, wire::kafka::SyncGroupRequest);
io::Task<wire::kafka::HeartbeatResponse> heartbeat(Call, wire::kafka::HeartbeatRequest);
io::Task<wire::kafka::LeaveGroupResponse> leave_group(Call, wire::kafka::LeaveGroupRequest);
io::Task<wire::kafka::OffsetCommitResponse> offset_commit(Call, wire::kafka::OffsetCommitRequest);
io::Task<wire::kafka::OffsetFetchResponse> offset_fetch(Call, wire::kafka::OffsetFetchRequest);
io::Task<wire::kafka::ListGroupsResponse> list_groups(Call, wire::kafka::ListGroupsRequest);
io::Task<wire::kafka::DescribeGroupsResponse> describe_groups(Call,
                                                              wire::kafka::DescribeGroupsRequest);
io::Task<wire::kafka::DeleteGroupsResponse> delete_groups(Call, wire::kafka::DeleteGroupsRequest);
io::Task<wire::kafka::OffsetDeleteResponse> offset_delete(Call, wire::kafka::OffsetDeleteRequest);

io::Task<wire::kafka::CreatePartitionsResponse> create_partitions(
    Call, wire::kafka::CreatePartitionsRequest);
io::Task<wire::kafka::DescribeConfigsResponse> describe_configs(
    Call, wire::kafka::DescribeConfigsRequest);
io::Task<wire::kafka::IncrementalAlterConfigsResponse> incremental_alter_configs(
    Call, wire::kafka::IncrementalAlterConfigsRequest);
io::Task<wire::kafka::AlterConfigsResponse> alter_configs(Call, wire::kafka::AlterConfigsRequest);

io::Task<wire::kafka::DescribeLogDirsResponse> describe_log_dirs(
    Call, wire::kafka::DescribeLogDirsRequest);
io::Task<wire::kafka::ElectLeadersResponse> elect_leaders(Call, wire::kafka::ElectLeadersRequest);
io::Task<wire::kafka::AlterPartitionReassignmentsResponse> alter_partition_reassignments(
    Call, wire::kafka::AlterPartitionReassignmentsRequest);
io::Task<wire::kafka::ListPartitionReassignmentsResponse> list_partition_reassignments(
    Call, wire::kafka::ListPartitionReassignmentsRequest);

// Answer also who has not proven anything yet; after an authentication that failed the session
// ends.
io::Task<wire::kafka::SaslHandshakeResponse> sasl_handshake(Call,
                                                            wire::kafka::SaslHandshakeRequest);
io::Task<wire::kafka::SaslAuthenticateResponse> sasl_authenticate(
    Call, wire::kafka::SaslAuthenticateRequest);
// Whether this API may be asked before the authentication is done.
bool open_to_strangers(std::int16_t key);

io::Task<wire::kafka::DescribeUserScramCredentialsResponse> describe_users(
    Call, wire::kafka::DescribeUserScramCredentialsRequest);
io::Task<wire::kafka::AlterUserScramCredentialsResponse> alter_users(
    Call, wire::kafka::AlterUserScramCredentialsRequest);

// Fetch hands over what it has read, and so appends its response itself.
io::Task<void> fetch(Call, Bytes body, Output& to);
// The answer to ApiVersions in a version that is not served: in version 0, for the client to learn.
void append_unsupported_version(std::string& to);

// Produce has two halves, so that a pipelined burst joins one group commit: encoding, at once and
// in the order of arrival, and the answer once all of it is durable.
struct Produced {
  struct Part {
    std::size_t topic = 0, partition = 0;  // places in the response
    broker::LogRef log{};
    broker::Appending appending{};
    PartitionId id{};
    std::optional<replica::Sequence> sequence{};
  };
  wire::kafka::ProduceResponse response{};
  std::vector<Part> parts{};  // appended, and not yet known to be durable
  io::Nanos deadline{};       // by Env::mono(), for the acknowledgement
  bool answered = true;       // acks = 0: no response
  bool failed = false;        // some partition was refused

  // What other nodes acknowledge is of no consequence where nobody is answered.
  bool waits_for(const broker::Appending& appending) const { return answered || !appending.owed; }
};
constexpr std::int16_t kProduceKey = 0;
io::Task<Produced> begin_produce(Call, Bytes body);
// Tells where each part is, or why it is not.
void end_produce(Call, Produced&, const broker::AppendRun&);

std::string cluster_id(const NodeOptions&);
bool valid_topic_name(Bytes);
// kNotFound: also what is no name, or no id, of a topic.
Result<broker::TopicRef> find_topic(broker::Local&, Bytes name);
Result<broker::TopicRef> find_topic(Call, const wire::kafka::Uuid&);
// The partition of a topic that was looked for, by its number, as clients give it.
Result<broker::LogRef> find_partition(const Result<broker::TopicRef>&, std::int32_t partition);
// kNone, or why a client is not served here what only the leader serves: what is wrong with the
// leader epoch that it believes in (-1: it does not say), or that another node leads.
ErrorCode check_leader(Call, const broker::Log&, std::int32_t epoch);
// The same for reading, which any copy serves.
ErrorCode check_copy(Call, const broker::Log&, std::int32_t epoch);
// What an error of a partition is to a client, who is to look for the leader where that is amiss.
ErrorCode log_error(Call, const broker::Log&, const Error&);
// The same of a batch given to produce(), whose producer is idempotent or not. Of an idempotent one
// what may have been taken, or will be another time, is never REQUEST_TIMED_OUT: after that
// librdkafka gives up for good where a batch behind it is refused. Of all others it is, unless, as
// with Kafka's own nodes, who led it is no leader any more.
ErrorCode append_error(Call, const broker::Log&, const Error&, bool idempotent);

}  // namespace walrus::frontend::kafka
