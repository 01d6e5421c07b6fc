// Virtual time, workers, crashes, and that a seed repeats a run exactly.

#include "io/sim/sim_world.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>

#include "io/network.h"

namespace walrus::io {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

TEST(SimWorldTest, time_passes_only_by_events) {
  World world(1);
  EXPECT_EQ(world.now(), 0ns);
  Event never;
  EXPECT_FALSE(world.node(0).env().wait(never, std::chrono::hours(24)));
  EXPECT_EQ(world.node(0).env().mono(), std::chrono::hours(24));
}

TEST(SimWorldTest, the_wall_clock_starts_and_jumps_as_told) {
  World world(1, {.start = Time(1000ms)});
  world.run_for(5ms);
  EXPECT_EQ(world.node(0).env().wall(), Time(1005ms));
  world.node(0).jump_wall_clock(-500ms);
  EXPECT_EQ(world.node(0).env().wall(), Time(505ms));
  EXPECT_EQ(world.node(0).env().mono(), 5ms);
}

TEST(SimWorldTest, calls_of_two_workers_interleave) {
  World world(1);
  std::string order;
  const auto worker = [&](char name) {
    return world.node(0).env().start_worker({name}, [&order, name] {
      order += name;
      return Nanos::zero();
    });
  };
  auto a = worker('a');
  auto b = worker('b');
  ASSERT_TRUE(world.run_until([&] { return order.size() == 100; }, 1s));
  EXPECT_THAT(order, HasSubstr("ab"));
  EXPECT_THAT(order, HasSubstr("ba"));
  EXPECT_THAT(order, HasSubstr("aa"));
}

TEST(SimWorldTest, a_wait_in_a_body_runs_others_but_never_that_body) {
  World world(1);
  Env& env = world.node(0).env();
  bool inside = false;
  int others = 0, waits = 0;
  auto waiting = env.start_worker("waiting", [&] {
    EXPECT_FALSE(inside);
    inside = true;
    Event never;
    EXPECT_FALSE(env.wait(never, 10ms));
    inside = false;
    ++waits;
    return Nanos::zero();
  });
  auto other = env.start_worker("other", [&] {
    ++others;
    waiting->wake();
    return Nanos(1ms);
  });
  ASSERT_TRUE(world.run_until([&] { return waits == 3; }, 1s));
  EXPECT_GT(others, 20);
}

TEST(SimWorldTest, the_tests_own_schedule_runs_at_its_time) {
  World world(1);
  Nanos seen{};
  world.at(7ms, [&] { seen = world.now(); });
  world.run_for(10ms);
  EXPECT_EQ(seen, 7ms);
  EXPECT_EQ(world.now(), 10ms);
  EXPECT_FALSE(world.step());
}

TEST(SimWorldTest, a_paused_node_stands_still_and_goes_on) {
  World world(1, {.nodes = 2});
  int calls[2] = {};
  std::vector<std::unique_ptr<Worker>> workers;
  for (int i = 0; i < 2; ++i) {
    workers.push_back(world.node(i).env().start_worker("counts", [&calls, i] {
      ++calls[i];
      return Nanos(1ms);
    }));
  }
  world.node(0).pause(50ms);
  world.run_for(40ms);
  EXPECT_EQ(calls[0], 0);
  EXPECT_GT(calls[1], 30);
  world.run_for(20ms);
  EXPECT_GT(calls[0], 5);
}

TEST(SimWorldTest, after_a_crash_all_io_of_that_life_fails) {
  World world(1);
  Env& old = world.node(0).env();
  auto file = *old.disk().open("/a", Open::kCreate);
  auto lock = *old.disk().lock("/LOCK");
  world.node(0).crash(CrashKind::kKill);
  Env& next = world.node(0).restart();
  EXPECT_THAT(file->write(0, "late").error().message, HasSubstr("simulated crash"));
  EXPECT_EQ(file->sync().error().code, Code::kIo);
  EXPECT_EQ(old.disk().open("/a", Open::kRead).error().code, Code::kIo);
  EXPECT_EQ(old.disk().remove("/a").error().code, Code::kIo);
  EXPECT_EQ(world.node(0).disk().cached("/a"), "");
  auto again = next.disk().lock("/LOCK");
  ASSERT_TRUE(again);
  lock.reset();  // late, and not the new one's
  EXPECT_EQ(next.disk().lock("/LOCK").error().code, Code::kLocked);
}

TEST(SimWorldTest, after_a_crash_workers_loops_and_waits_end) {
  World world(1);
  Env& env = world.node(0).env();
  int calls = 0;
  auto worker = env.start_worker("counts", [&] {
    ++calls;
    return Nanos(1ms);
  });
  auto loop = env.make_loop();
  world.run_for(10ms);
  world.node(0).crash(CrashKind::kKill);
  const int before = calls;
  loop->post([&] { ++calls; });
  worker->wake();
  world.run_for(10ms);
  EXPECT_EQ(calls, before);
  Event never;
  EXPECT_FALSE(env.wait(never, Nanos::max()));
  auto late = env.start_worker("late", [&] { return Nanos(++calls); });
  world.run_for(10ms);
  EXPECT_EQ(calls, before);
}

TEST(SimWorldTest, a_restart_without_a_crash_kills_first) {
  World world(1);
  Env& old = world.node(0).env();
  auto file = *old.disk().open("/a", Open::kCreate);
  ASSERT_TRUE(file->write(0, "text"));
  world.node(0).restart();
  EXPECT_FALSE(file->sync());
  EXPECT_FALSE(world.node(0).crashed());
  EXPECT_EQ(world.node(0).disk().cached("/a"), "text");
}

TEST(SimWorldTest, crash_after_ops_dies_before_or_after_the_nth_operation) {
  std::set<std::string> places;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    World world(seed);
    auto file = *world.node(0).env().disk().open("/a", Open::kCreate);
    ASSERT_TRUE(file->write(0, "1"));
    world.node(0).crash_after_ops(2, CrashKind::kKill);
    EXPECT_TRUE(file->write(1, "2"));
    EXPECT_FALSE(file->write(2, "3"));
    EXPECT_TRUE(world.node(0).crashed());
    places.insert(world.node(0).crash_place() + ": " + *world.node(0).disk().cached("/a"));
  }
  EXPECT_EQ(places, (std::set<std::string>{"before write /a: 12", "after write /a: 123"}));
}

TEST(SimWorldTest, crash_after_ops_counts_only_operations_of_the_place) {
  World world(1);
  auto one = *world.node(0).env().disk().open("/one", Open::kCreate);
  auto two = *world.node(0).env().disk().open("/two", Open::kCreate);
  world.node(0).crash_after_ops(2, CrashKind::kKill, {.operation = "sync", .file = "two"});
  EXPECT_TRUE(two->sync());
  EXPECT_TRUE(two->write(0, "2"));
  EXPECT_TRUE(one->sync());
  EXPECT_FALSE(world.node(0).crashed());
  EXPECT_FALSE(two->sync());
  EXPECT_TRUE(world.node(0).crash_place().ends_with(" sync /two"));
}

TEST(SimWorldTest, a_crash_point_is_an_operation) {
  World world(1);
  world.node(0).crash_after_ops(1, CrashKind::kPowerCut);
  world.node(0).env().crash_point("between two steps");
  EXPECT_TRUE(world.node(0).crashed());
  EXPECT_THAT(world.node(0).crash_place(), HasSubstr("crash point between two steps"));
}

TEST(SimWorldTest, every_operation_of_a_short_life_can_be_the_last) {
  const auto live = [](Env& env) {
    if (!env.disk().make_directory("/d")) return;
    auto file = env.disk().open("/d/tmp", Open::kCreate);
    if (!file || !(*file)->write(0, "text") || !(*file)->sync()) return;
    if (!env.disk().rename("/d/tmp", "/d/final") || !env.disk().sync_directory("/d")) return;
    (void)env.disk().sync_directory("/");
  };
  World whole(1);
  live(whole.node(0).env());
  const auto operations = whole.node(0).operations();
  EXPECT_EQ(operations, 7u);
  for (std::uint64_t n = 1; n <= operations; ++n) {
    World world(n);
    world.node(0).crash_after_ops(n, CrashKind::kPowerCut);
    live(world.node(0).env());
    EXPECT_TRUE(world.node(0).crashed()) << n;
    world.node(0).restart();
    // What has the final name is whole, since it was synced before it got it.
    const auto final = world.node(0).disk().cached("/d/final");
    EXPECT_EQ(final.value_or("text"), "text") << n;
  }
}

TEST(SimWorldTest, buggify_is_off_by_default_and_lives_by_place) {
  World off(1);
  EXPECT_FALSE(off.node(0).env().buggify("place"));
  World on(1, {.buggify_live = 0.5, .buggify_fires = 1});
  int live = 0;
  for (int i = 0; i < 100; ++i) {
    const std::string place = std::to_string(i);
    const bool fired = on.node(0).env().buggify(place.c_str());
    EXPECT_EQ(fired, on.node(0).env().buggify(place.c_str()));
    live += fired ? 1 : 0;
  }
  EXPECT_GT(live, 25);
  EXPECT_LT(live, 75);
  EXPECT_EQ(on.buggify_hits().size(), static_cast<std::size_t>(live));
}

TEST(SimWorldDeathTest, a_wait_that_can_never_end_names_the_seed) {
  World world(4242);
  Event never;
  EXPECT_DEATH(world.node(0).env().wait(never, Nanos::max()), "seed 4242 waits for ever");
}

// A run that touches everything: files, faults, crashes, workers, loops, a lossy network.
boost::asio::awaitable<void> serve(std::unique_ptr<Connection> connection) {
  std::string piece(1000, ' ');
  while (true) {
    const auto bytes = co_await connection->read_some(piece, 1s);
    if (!bytes || *bytes == 0) co_return;
    if (!co_await connection->write(Bytes(piece).substr(0, *bytes), 1s)) co_return;
  }
}
boost::asio::awaitable<void> accept_all(Loop& loop, Listener& listener) {
  while (auto connection = co_await listener.accept()) loop.spawn(serve(*std::move(connection)));
}
boost::asio::awaitable<void> ask(Loop& loop, int questions) {
  for (int i = 0; i < questions; ++i) {
    auto connection = co_await loop.connect("10.0.0.1:80", 1s);
    if (!connection) continue;
    std::string text(3000, 'q');
    (void)co_await (*connection)->write(text, 1s);
    (void)co_await (*connection)->read_some(text, 1s);
  }
}

std::uint64_t run_everything(std::uint64_t seed) {
  World world(seed, {.nodes = 3});
  world.network().set_all_links({.loss = 0.1, .reset = 0.02, .partial_read = 0.3});
  for (int life = 0; life < 3; ++life) {
    Env& env = world.node(0).env();
    world.node(0).disk().options().faults = {.write_error = 0.05, .short_io = 0.2, .bit_rot = 0.01};
    auto server = env.make_loop();
    auto client = world.node(1).env().make_loop();
    auto listener = *server->listen("0.0.0.0:80");
    server->spawn(accept_all(*server, *listener));
    client->spawn(ask(*client, 20));
    auto worker = env.start_worker("writes", [&env] {
      const Path path = "/" + std::to_string(env.random() % 10);
      auto file = env.disk().open(path, Open::kWrite);
      if (!file) file = env.disk().open(path, Open::kCreate);
      if (file && (*file)->write(0, std::string(5000, 'x'))) (void)(*file)->sync();
      return Nanos(env.random() % 1'000'000);
    });
    world.node(0).crash_after_ops(500, life == 1 ? CrashKind::kKill : CrashKind::kPowerCut);
    world.run_until([&] { return world.node(0).crashed(); }, 10s);
    world.node(0).restart();
  }
  return world.trace_hash();
}

TEST(SimTraceTest, prints_its_hash) {
  std::printf("trace hash %016lx\n", static_cast<unsigned long>(run_everything(99)));
}

// The hash that another process comes to. Its environment moves its stack and heap.
std::string hash_in_another_process(std::size_t environment_bytes) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  const std::string command = "WALRUS_PADDING=" + std::string(environment_bytes, 'x') + " " + self +
                              " --gtest_filter=SimTraceTest.prints_its_hash";
  std::FILE* output = ::popen(command.c_str(), "r");
  std::string text, found;
  for (char line[4096]; output != nullptr && std::fgets(line, sizeof line, output) != nullptr;) {
    if (std::string_view(line).starts_with("trace hash ")) found = line;
  }
  EXPECT_EQ(::pclose(output), 0);
  return found;
}

TEST(SimTraceTest, a_seed_repeats_a_run_in_two_processes) {
  const auto first = hash_in_another_process(1);
  EXPECT_THAT(first, HasSubstr("trace hash "));
  EXPECT_EQ(first, hash_in_another_process(12'345));
}

TEST(SimTraceTest, a_seed_repeats_a_run_in_one_process) {
  EXPECT_EQ(run_everything(7), run_everything(7));
}

TEST(SimTraceTest, different_seeds_are_different_runs) {
  std::set<std::uint64_t> hashes;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) hashes.insert(run_everything(seed));
  EXPECT_EQ(hashes.size(), 20u);
}

// No real clock, timer, socket, thread or generator may be used in the simulator.
std::vector<std::string> forbidden_in(const std::string& text) {
  std::vector<std::string> found;
  for (const char* word :
       {"steady_timer", "system_timer", "ip/tcp", "ip::tcp", "steady_clock", "system_clock",
        "high_resolution_clock", "random_device", "getrandom", "unordered_", "sleep_for",
        "std::thread(", "std::jthread", " ::socket(", " ::open("}) {
    if (text.contains(word)) found.emplace_back(word);
  }
  return found;
}

TEST(SimSourceTest, the_simulator_uses_nothing_of_the_real_world) {
  const auto room = std::filesystem::path(__FILE__).parent_path();
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(room)) {
    if (entry.path().string().ends_with("_test.cc")) continue;
    std::ifstream file(entry.path());
    const std::string text(std::istreambuf_iterator<char>(file), {});
    EXPECT_THAT(forbidden_in(text), testing::IsEmpty()) << entry.path();
    ++files;
  }
  EXPECT_GT(files, 10);
}

TEST(SimSourceTest, a_planted_timer_is_found) {
  EXPECT_THAT(forbidden_in("boost::asio::steady_timer timer(context);"),
              testing::ElementsAre("steady_timer"));
}

}  // namespace
}  // namespace walrus::io
