// SPDX-License-Identifier: MIT
#include "backend/gateway/forwards.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <new>
#include <set>

#include "tests/support/nat_world.h"

namespace lanyard::testing {
namespace {

// Listens on paper.
struct FakeEngine final : ForwardEngine {
  std::set<std::pair<unsigned, std::string>> listening;  // host port, guest
  std::map<unsigned, int> refuses;
  bool has_memory = true;

  int listen(const ForwardConfig& forward, std::uint16_t port, const IpAddress& guest) override {
    if (!has_memory) throw std::bad_alloc();
    const unsigned number = forward.host_port + unsigned{port};
    if (refuses.contains(number)) return refuses[number];
    listening.emplace(number, guest.text());
    return 0;
  }
  void unlisten(const ForwardConfig& forward, std::uint16_t port) override {
    std::erase_if(listening,
                  [&](const auto& l) { return l.first == forward.host_port + unsigned{port}; });
  }
};

struct World {
  FakeEngine engine;
  FakeDirectory directory;
  Forwards forwards{engine, directory};
  World() {
    forwards.set_network(Ipv4Prefix::parse("10.0.2.0/24"), Ipv6Prefix::parse("fd00:2::/64"));
  }
};

ForwardConfig forward(std::string name, std::uint16_t port, std::string guest = "10.0.2.15") {
  ForwardConfig config;
  config.name = std::move(name);
  config.host_address = addr("127.0.0.1");
  config.host_port = port;
  config.guest = std::move(guest);
  config.guest_port = 80;
  return config;
}

TEST(Forwards, RefusesWithTheRemedy) {
  struct Row {
    const char* says;
    int code;
    std::function<void(ForwardConfig&, World&)> change;
  };
  const Row rows[] = {
      {"there is a forward called first", EADDRINUSE,
       [](ForwardConfig& f, World&) { f.name = "first"; }},
      {"taken by forward first", EADDRINUSE, [](ForwardConfig& f, World&) { f.host_port = 8000; }},
      {"taken by forward first", EADDRINUSE,
       [](ForwardConfig& f, World&) {
         f.host_port = 7999;
         f.ports = 2;
       }},
      {"taken by forward first", EADDRINUSE,
       [](ForwardConfig& f, World&) {
         f.host_port = 8009;
         f.host_address = addr("0.0.0.0");
       }},
      {"not in the network", EINVAL, [](ForwardConfig& f, World&) { f.guest = "10.0.3.1"; }},
      {"IPv6 to IPv6", EINVAL, [](ForwardConfig& f, World&) { f.guest = "fd00:2::15"; }},
      {"within 1 to 65535", EINVAL, [](ForwardConfig& f, World&) { f.ports = 60000; }},
      {"within 1 to 65535", EINVAL, [](ForwardConfig& f, World&) { f.guest_port = 0; }},
      {"carries one TCP port", EINVAL,
       [](ForwardConfig& f, World&) {
         f.unix_path = "/tmp/x";
         f.ports = 2;
       }},
      {"longer than", ENAMETOOLONG, [](ForwardConfig& f, World&) { f.unix_path.assign(108, 'x'); }},
      {"ip_unprivileged_port_start=81", EACCES,
       [](ForwardConfig& f, World& w) {
         f.host_port = 81;
         w.engine.refuses[81] = EACCES;
       }},
      {"choose another port", EADDRINUSE,
       [](ForwardConfig& f, World& w) {
         f.host_port = 1;
         w.engine.refuses[1] = EADDRINUSE;
       }},
      {"the host has no address 127.0.0.1", EADDRNOTAVAIL,
       [](ForwardConfig& f, World& w) { w.engine.refuses[f.host_port] = EADDRNOTAVAIL; }},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.says);
    World world;
    ForwardConfig first = forward("first", 8000);
    first.ports = 10;
    ASSERT_TRUE(world.forwards.add(first).ok());
    ForwardConfig second = forward("second", 9000);
    row.change(second, world);
    const auto refused = world.forwards.add(second);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, row.code);
    EXPECT_NE(refused.error().text.find(row.says), std::string::npos) << refused.error().text;
    EXPECT_EQ(world.engine.listening.size(), 10U);
    EXPECT_EQ(world.forwards.status().size(), 1U);
  }
}

TEST(Forwards, ARangeIsTakenWholeOrNotAtAll) {
  World world;
  ForwardConfig range = forward("range", 8000);
  range.ports = 5;
  world.engine.refuses[8003] = EADDRINUSE;
  EXPECT_FALSE(world.forwards.add(range).ok());
  EXPECT_TRUE(world.engine.listening.empty());
  world.engine.refuses.clear();
  EXPECT_TRUE(world.forwards.add(range).ok());
  EXPECT_EQ(world.engine.listening.size(), 5U);
  EXPECT_TRUE(world.forwards.remove("range").ok());
  EXPECT_TRUE(world.engine.listening.empty());
  EXPECT_EQ(world.forwards.remove("range").error().code, ENOENT);
}

TEST(Forwards, OfTheConfigurationStayWithTheirProblem) {
  World world;
  world.engine.refuses[8000] = EADDRINUSE;
  world.forwards.add_wanted(forward("web", 8000));
  ASSERT_EQ(world.forwards.status().size(), 1U);
  EXPECT_FALSE(world.forwards.status()[0].listening);
  EXPECT_NE(world.forwards.status()[0].problem, "");
  world.engine.refuses.clear();
  world.forwards.guests_changed();
  EXPECT_TRUE(world.forwards.status()[0].listening);
}

TEST(Forwards, FollowTheirGuest) {
  World world;
  ASSERT_TRUE(world.forwards.add(forward("web", 8000, "web")).ok());
  EXPECT_TRUE(world.engine.listening.empty());
  world.directory.names["web"] = {addr("fd00:2::15"), addr("10.0.2.20")};
  world.forwards.guests_changed();
  EXPECT_EQ(world.engine.listening, (decltype(world.engine.listening){{8000, "10.0.2.20"}}));
  world.directory.names["web"] = {addr("10.0.2.21")};
  world.forwards.guests_changed();
  EXPECT_EQ(world.engine.listening, (decltype(world.engine.listening){{8000, "10.0.2.21"}}));
  world.directory.names.clear();
  world.forwards.guests_changed();
  EXPECT_TRUE(world.engine.listening.empty());
}

TEST(Forwards, ThoseThatFoundNoMemoryListenLater) {
  World world;
  world.engine.refuses = {{8000, ENOMEM}, {8001, EADDRINUSE}};
  world.forwards.add_wanted(forward("web", 8000));
  world.forwards.add_wanted(forward("taken", 8001));
  EXPECT_TRUE(world.forwards.wants_retry());
  world.forwards.try_again();
  EXPECT_TRUE(world.forwards.wants_retry());
  world.engine.refuses.erase(8000);
  world.forwards.try_again();
  EXPECT_FALSE(world.forwards.wants_retry());
  EXPECT_EQ(world.engine.listening, (decltype(world.engine.listening){{8000, "10.0.2.15"}}));
  EXPECT_EQ(world.forwards.status()[1].problem, "");
}

TEST(Forwards, ThoseThatWereNotAimedForLackOfMemoryAreAimedLater) {
  World world;
  world.forwards.add_wanted(forward("web", 8000, "web"));
  EXPECT_FALSE(world.forwards.wants_retry()) << "it waits for a guest";
  world.directory.names["web"] = {addr("10.0.2.20")};
  world.engine.has_memory = false;
  EXPECT_THROW(world.forwards.guests_changed(), std::bad_alloc);
  EXPECT_TRUE(world.forwards.wants_retry());
  world.engine.has_memory = true;
  world.forwards.try_again();
  EXPECT_FALSE(world.forwards.wants_retry());
  EXPECT_EQ(world.engine.listening, (decltype(world.engine.listening){{8000, "10.0.2.20"}}));
}

TEST(Forwards, AReloadChangesOnlyWhatChanged) {
  World world;
  const std::vector<ForwardConfig> before{forward("a", 1001), forward("b", 1002)};
  world.forwards.reconfigure({}, before);
  ASSERT_TRUE(world.forwards.add(forward("by hand", 1009)).ok());
  const std::vector<ForwardConfig> after{forward("b", 1003), forward("c", 1002)};
  world.forwards.reconfigure(before, after);
  std::set<unsigned> ports;
  for (const auto& [port, guest] : world.engine.listening) ports.insert(port);
  EXPECT_EQ(ports, (std::set<unsigned>{1002, 1003, 1009}));
}

}  // namespace
}  // namespace lanyard::testing
