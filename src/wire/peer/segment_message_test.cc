#include "wire/peer/segment_message.h"

#include <gtest/gtest.h>

#include "base/golden_bytes.h"
#include "record/batch.h"

namespace walrus::wire::peer {
namespace {

Batch batch_at(std::int64_t offset) {
  Record records[] = {{.value = "v"}};
  auto bytes = record::encode(records, {.base_offset = offset, .epoch = 3});
  return {offset, offset + 1, Payload::copy_of(bytes)};
}

std::vector<SegmentMessage> all_messages() {
  auto message = [](SegmentBody body) {
    return SegmentMessage{NodeId{1}, NodeId{300}, SegmentId{70'000}, Epoch{3}, std::move(body)};
  };
  Run run{.from = 200, .batches = {batch_at(200), batch_at(201)}};
  return {
      message(Replicate{
          .durability = Durability::kOs, .start = 100, .watermark = 150, .round = 9, .run = run}),
      message(Replicate{.recovery = true,
                        .start = 200,
                        .run = {.from = 200, .producers = Payload::copy_of("table")}}),
      message(ReplicateReply{.round = 9, .durable = 200, .accepted = 202}),
      message(ReplicateReply{.answer = Answer::kFenced, .promised = {4}}),
      message(Fence{.start = 100, .from = 150, .bytes_max = 1 << 20}),
      message(FenceReply{.promised = {4},
                         .knowledge = Knowledge::kTorn,
                         .watermark = 150,
                         .durable = 202,
                         .run = run}),
      message(Fetch{.from = 202, .bytes_max = 1 << 20}),
      message(FetchReply{.answer = Answer::kUnknown, .run = {.from = 202}}),
      message(Replicate{.sync = true,
                        .durability = Durability::kOs,
                        .start = 100,
                        .watermark = 150,
                        .round = 10,
                        .run = {.from = 100}}),
      message(ReplicateReply{.answer = Answer::kSynced, .durable = 200, .accepted = 202}),
      message(Replicate{
          .quiet = true, .start = 100, .watermark = 150, .round = 11, .run = {.from = 100}})};
}

std::string parcel_of(std::span<const SegmentMessage> messages) {
  std::string bytes;
  append_parcel(bytes, messages);
  return bytes;
}

TEST(SegmentMessageTest, parcels_encode_to_the_golden_bytes_and_back) {
  auto golden = golden_lines("peer/segment_messages");
  auto all = all_messages();
  ASSERT_EQ(golden.size(), all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ(parcel_of({&all[i], 1}), golden[i]);
    auto parsed = parse_parcel(golden[i]);
    ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
    EXPECT_EQ(*parsed, std::vector{all[i]});
  }
}

TEST(SegmentMessageTest, a_parcel_holds_many_and_every_prefix_of_it_is_refused) {
  auto all = all_messages();
  auto bytes = parcel_of(all);
  EXPECT_EQ(parse_parcel(bytes).value(), all);
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(parse_parcel(Bytes(bytes).substr(0, size)).has_value());
  EXPECT_FALSE(parse_parcel(bytes + '\0').has_value());
  bytes[0] = 2;
  EXPECT_EQ(parse_parcel(bytes).error().code, Code::kVersion);
}

TEST(SegmentMessageTest, batches_with_a_gap_are_refused_and_others_are_views) {
  auto all = all_messages();
  auto owner = std::make_shared<const std::string>(parcel_of({&all[0], 1}));
  auto parsed = parse_parcel(*owner, owner).value();
  auto bytes = std::get<Replicate>(parsed[0].body).run.batches[1].bytes.bytes();
  EXPECT_GE(bytes.data(), owner->data());
  EXPECT_LT(bytes.data(), owner->data() + owner->size());
  std::get<Replicate>(all[0].body).run.batches[1] = batch_at(202);
  EXPECT_FALSE(parse_parcel(parcel_of({&all[0], 1})).has_value());
}

}  // namespace
}  // namespace walrus::wire::peer
