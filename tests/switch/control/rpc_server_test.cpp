// SPDX-License-Identifier: MIT
#include "switch/control/rpc_server.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "switch/daemon/handover_state.h"
#include "tests/support/fake_host.h"
#include "tests/support/temporary_directory.h"

namespace lanyard {
namespace {

using testing::FakeClient;
using testing::FakeHost;
using testing::FakeNetwork;

constexpr uid_t kOwner = 1000;
constexpr gid_t kControl = 500;
constexpr gid_t kViewers = 600;

class RpcServers : public ::testing::Test {
 protected:
  RpcServers() { server.set_roles({kOwner, kControl, kViewers}); }

  static int code_of(const Json& answer) {
    return answer.contains("error") ? answer["error"]["code"].get<int>() : 0;
  }
  static std::string text_of(const Json& answer) {
    return answer.contains("error") ? answer["error"]["message"].get<std::string>() : "";
  }

  FakeHost host;
  RpcServer server{host};
};

TEST(RpcRoles, AreByUserAndGroup) {
  const RpcRoles roles{kOwner, kControl, kViewers};
  struct {
    uid_t user;
    gid_t group;
    std::vector<gid_t> groups;
    std::optional<RpcRole> role;
  } const kCases[]{
      {0, 0, {}, RpcRole::admin},
      {kOwner, 77, {}, RpcRole::admin},
      {1001, 77, {}, std::nullopt},
      {1001, kControl, {}, RpcRole::admin},
      {1001, 77, {1, kControl}, RpcRole::admin},
      {1001, 77, {kViewers}, RpcRole::viewer},
      {1001, 77, {kViewers, kControl}, RpcRole::admin},
      {kNoUser, kNoGroup, {}, std::nullopt},
  };
  for (const auto& c : kCases) {
    Identity who;
    who.uid = c.user;
    who.gid = c.group;
    who.groups = c.groups;
    EXPECT_EQ(roles.of(who), c.role) << c.user;
  }
  Identity nobody;
  EXPECT_EQ(RpcRoles{}.of(nobody), std::nullopt) << "no group is nobody's group";
}

TEST_F(RpcServers, RefuseStrangersWithAReason) {
  FakeClient stranger(server, 4242);
  const Json answer = Json::parse(stranger.line());
  EXPECT_EQ(code_of(answer), static_cast<int>(RpcCode::not_permitted));
  EXPECT_NE(text_of(answer).find("user 4242"), std::string::npos);
  EXPECT_TRUE(stranger.ended());
  EXPECT_EQ(server.sessions(), 0U);
}

TEST_F(RpcServers, LetViewersLookAndNotChange) {
  host.add("lan");
  FakeClient viewer(server, 1001, {kViewers});
  EXPECT_EQ(code_of(viewer.ask("network.list")), 0);
  const Json answer = viewer.ask("vlan.create", {{"network", "lan"}, {"vlan", 5}});
  EXPECT_EQ(code_of(answer), static_cast<int>(RpcCode::not_permitted));
  EXPECT_FALSE(host.find("lan")->bridge().vlans().exists(5));
}

TEST_F(RpcServers, LogEveryChangeWithItsUser) {
  host.add("lan");
  FakeClient admin(server, kOwner);
  EXPECT_EQ(code_of(admin.ask("vlan.create", {{"network", "lan"}, {"vlan", 5}})), 0);
  EXPECT_TRUE(host.lines.contains("user 1000"));
  EXPECT_TRUE(host.lines.contains("vlan.create"));
}

TEST_F(RpcServers, AnswerGarbageAndGoOn) {
  struct {
    std::string line;
    RpcCode code;
  } const cases[]{
      {"hello", RpcCode::parse_error},
      {"[]", RpcCode::invalid_request},
      {R"({"jsonrpc":"2.0","id":1,"method":5})", RpcCode::invalid_request},
      {R"({"jsonrpc":"2.0","id":1,"method":"port.list","params":[1]})", RpcCode::invalid_params},
      {R"({"jsonrpc":"2.0","id":1,"method":"port.lost"})", RpcCode::method_not_found},
      {std::string(60000, '['), RpcCode::parse_error},
      {std::string(1 << 20, 'x'), RpcCode::parse_error},
      {R"({"jsonrpc":"2.0","id":1,"result":{}})", RpcCode::invalid_request},
  };
  FakeClient admin(server, kOwner);
  for (const auto& c : cases) {
    const std::string bytes = c.line + "\n";
    for (std::size_t at = 0; at < bytes.size(); at += 32768) {
      admin.send(bytes.substr(at, 32768));
      for (int i = 0; i < 4; ++i) host.loop().run_once(true);
    }
    EXPECT_EQ(code_of(Json::parse(admin.line())), static_cast<int>(c.code)) << c.line.substr(0, 40);
  }
  EXPECT_EQ(code_of(admin.ask("network.list")), 0);
}

TEST_F(RpcServers, AnswerInOrderWhatComesInOneWrite) {
  FakeClient admin(server, kOwner);
  std::string lines;
  for (int id = 0; id < 500; ++id) {
    lines += rpc_request_line(id, "network.list", Json::object()) + "\n";
  }
  admin.send(lines);
  for (int id = 0; id < 500; ++id) EXPECT_EQ(Json::parse(admin.line())["id"], id);
}

TEST_F(RpcServers, ANotificationHasNoAnswer) {
  FakeClient admin(server, kOwner);
  admin.send(R"({"jsonrpc":"2.0","method":"network.list"})"
             "\n");
  EXPECT_EQ(admin.ask("network.list")["id"], 1);
}

TEST_F(RpcServers, ListSixtyFourThousandAddressesInSlicesThatFramesFitBetween) {
  FakeNetwork& lan = host.add("lan", 70000);
  for (PortId id = 1; id <= 2; ++id) ASSERT_TRUE(lan.bridge().create_port(id));
  constexpr int kStations = 65536;
  for (int i = 0; i < kStations; ++i) {
    lan.bridge().macs().learn(MacAddress::from_number(0x020000000000U + static_cast<unsigned>(i)),
                              0, 1, lan.bridge().now_s());  // or the sweep forgets them
  }
  lan.names["02:00:00:00:00:05"] = "alpha";
  FakeClient admin(server, kOwner);
  admin.send(rpc_request_line(7, "fdb.list", Json::object()) + "\n");
  const std::string line = [&] {
    for (int round = 0; round < 20; ++round) {
      const std::string got = admin.line();
      if (!got.empty()) return got;
    }
    return std::string();
  }();
  const Json answer = Json::parse(line);
  EXPECT_EQ(answer["id"], 7);
  ASSERT_EQ(answer["result"]["entries"].size(), static_cast<std::size_t>(kStations));
  EXPECT_EQ(answer["result"]["entries"][5]["name"], "alpha");
  EXPECT_EQ(code_of(admin.ask("network.list")), 0) << "and the session goes on";
}

TEST_F(RpcServers, ALongListOutlivesItsNetwork) {
  FakeNetwork& lan = host.add("lan", 70000);
  ASSERT_TRUE(lan.bridge().create_port(1));
  for (unsigned i = 0; i < 60000; ++i) {
    lan.bridge().macs().learn(MacAddress::from_number(0x020000000000U + i), 0, 1,
                              lan.bridge().now_s());
  }
  FakeClient admin(server, kOwner);
  admin.send(rpc_request_line(7, "fdb.list", Json::object()) + "\n");
  for (int i = 0; i < 5; ++i) host.loop().run_once(true);
  host.remove("lan");
  const Json answer = Json::parse(admin.line());
  EXPECT_LT(answer["result"]["entries"].size(), 60000U);
}

TEST_F(RpcServers, TellSubscribersWhatTheyAskedFor) {
  FakeClient all(server, kOwner);
  FakeClient some(server, kOwner);
  FakeClient none(server, kOwner);
  EXPECT_EQ(code_of(all.ask("event.subscribe")), 0);
  EXPECT_EQ(code_of(some.ask("event.subscribe", {{"kinds", "port.up,port.down"}})), 0);
  EXPECT_EQ(text_of(none.ask("event.subscribe", {{"kinds", "port.upp"}})),
            "there are no events of kind 'port.upp'; did you mean port.up");
  server.publish("link.changed", {{"port", 1}});
  server.publish("port.up", {{"port", 2}});
  EXPECT_EQ(Json::parse(all.line())["params"]["kind"], "link.changed");
  EXPECT_EQ(Json::parse(all.line())["params"]["kind"], "port.up");
  EXPECT_EQ(Json::parse(some.line())["params"]["port"], 2);
  EXPECT_EQ(code_of(none.ask("network.list")), 0) << "no event came first";
}

TEST_F(RpcServers, CutOffASubscriberThatDoesNotRead) {
  FakeClient deaf(server, kOwner);
  FakeClient other(server, kOwner);
  EXPECT_EQ(code_of(deaf.ask("event.subscribe")), 0);
  const std::string text(1000, 'x');
  for (int i = 0; i < 5000; ++i) server.publish("port.up", {{"text", text}});
  host.loop().run_once(true);
  EXPECT_EQ(server.sessions(), 1U);
  EXPECT_EQ(code_of(other.ask("network.list")), 0);
}

TEST_F(RpcServers, PassOnToTheGatewayAndAnswerWhenItHas) {
  FakeNetwork& nat = host.add("nat");
  std::vector<GatewayReply> waiting;
  nat.answer = [&](std::string_view method, const Json& params, GatewayReply reply) {
    EXPECT_EQ(method, "lease.delete");
    EXPECT_EQ(params["address"], "10.0.2.15");
    waiting.push_back(std::move(reply));
  };
  FakeClient admin(server, kOwner);
  admin.send(rpc_request_line(3, "lease.delete", {{"network", "nat"}, {"address", "10.0.2.15"}}) +
             "\n" + rpc_request_line(4, "network.list", Json::object()) + "\n");
  EXPECT_EQ(Json::parse(admin.line())["id"], 4) << "others do not wait";
  ASSERT_EQ(waiting.size(), 1U);
  const RpcError silent{RpcCode::unreachable, "it does not answer"};
  waiting[0](&silent, nullptr);
  const Json answer = Json::parse(admin.line());
  EXPECT_EQ(answer["id"], 3);
  EXPECT_EQ(code_of(answer), static_cast<int>(RpcCode::unreachable));
}

TEST_F(RpcServers, MergeListsOfAllNetworksAndNameTheSilent) {
  for (const char* name : {"a", "b", "c"}) {
    FakeNetwork& network = host.add(name);
    network.answer = [name](std::string_view, const Json&, GatewayReply reply) {
      const RpcError silent{RpcCode::unreachable, "silence"};
      if (name[0] == 'b') return reply(&silent, nullptr);
      reply(nullptr, {{"leases", {{{"address", "10.0.0.1"}}}}});
    };
  }
  host.add("d");  // has no gateway
  FakeClient admin(server, kOwner);
  const Json answer = admin.ask("lease.list")["result"];
  ASSERT_EQ(answer["leases"].size(), 2U);
  EXPECT_EQ(answer["leases"][1]["network"], "c");
  EXPECT_EQ(answer["problems"][0]["network"], "b");
  EXPECT_EQ(code_of(admin.ask("lease.list", {{"network", "b"}})),
            static_cast<int>(RpcCode::unreachable));
}

TEST_F(RpcServers, ACommandWhoseClientHasGoneHarmsNobody) {
  FakeNetwork& nat = host.add("nat");
  GatewayReply late;
  nat.answer = [&](std::string_view, const Json&, GatewayReply reply) { late = std::move(reply); };
  {
    FakeClient gone(server, kOwner);
    gone.send(rpc_request_line(3, "lease.list", {{"network", "nat"}}) + "\n");
    for (int i = 0; i < 3; ++i) host.loop().run_once(true);
  }
  for (int i = 0; i < 3; ++i) host.loop().run_once(true);
  EXPECT_EQ(server.sessions(), 0U);
  ASSERT_TRUE(late);
  late(nullptr, {{"leases", Json::array()}});
}

TEST_F(RpcServers, SetTheLinkOfAPort) {
  FakeNetwork& lan = host.add("lan");
  ASSERT_TRUE(lan.bridge().create_port(3));
  FakeClient admin(server, kOwner);
  EXPECT_EQ(code_of(admin.ask("link.set", {{"network", "lan"}, {"port", 3}, {"state", "down"}})),
            0);
  EXPECT_FALSE(lan.bridge().port(3)->link_up);
  EXPECT_EQ(admin.ask("port.show", {{"network", "lan"}, {"port", 3}})["result"]["link"], "down");
  EXPECT_EQ(code_of(admin.ask("link.set", {{"network", "lan"}, {"port", 3}, {"state", "off"}})),
            static_cast<int>(RpcCode::invalid_params));
  EXPECT_EQ(code_of(admin.ask("link.set", {{"network", "lan"}, {"port", 9}, {"state", "up"}})),
            static_cast<int>(RpcCode::not_found));
}

TEST_F(RpcServers, SetAPortAllOrNothing) {
  FakeNetwork& lan = host.add("lan");
  Switch& bridge = lan.bridge();
  ASSERT_TRUE(bridge.create_port(3));
  for (const VlanId vlan : std::vector<VlanId>{10, 20, 21})
    ASSERT_TRUE(bridge.vlans().create(vlan));
  FakeClient admin(server, kOwner);
  const auto set = [&](Json params) {
    params["network"] = "lan";
    params["port"] = 3;
    return code_of(admin.ask("port.set", params));
  };
  EXPECT_EQ(set({{"vlan", 10}, {"tagged", "20-21"}, {"queue_bytes", 4096}}), 0);
  EXPECT_EQ(bridge.vlans().native(3), 10);
  EXPECT_TRUE(bridge.vlans().is_tagged(21, 3));
  EXPECT_EQ(set({{"vlan", 20}, {"tagged", "30"}}), static_cast<int>(RpcCode::not_found));
  EXPECT_EQ(bridge.vlans().native(3), 10) << "nothing was changed";
  EXPECT_EQ(set({{"tagged", "none"}}), 0);
  EXPECT_FALSE(bridge.vlans().is_tagged(21, 3));
}

TEST_F(RpcServers, RememberTheLastLogLines) {
  FakeClient admin(server, kOwner);
  for (int i = 0; i < 1200; ++i) host.log().notice("line {}", i);
  host.log().write(LogLevel::debug, "not shown");
  const Json shown = admin.ask("log.show", {{"lines", 2}})["result"]["lines"];
  ASSERT_EQ(shown.size(), 2U);
  EXPECT_EQ(shown[1]["text"], "line 1199");
  EXPECT_EQ(host.log().lines().size(), LogRing::kLines);
  EXPECT_EQ(code_of(admin.ask("log.set", {{"level", "loud"}})),
            static_cast<int>(RpcCode::invalid_params));
  EXPECT_EQ(code_of(admin.ask("log.set", {{"level", "error"}})), 0);
  host.log().notice("neither");
  EXPECT_EQ(host.log().lines().back().text.find("neither"), std::string::npos);
}

TEST_F(RpcServers, HaveRoomForAThousandSessions) {
  std::vector<std::unique_ptr<FakeClient>> clients;
  for (int i = 0; i < 1000; ++i) clients.push_back(std::make_unique<FakeClient>(server, kOwner));
  for (const auto& client : clients) {
    client->send(rpc_request_line(1, "network.list", Json::object()) + "\n");
  }
  for (const auto& client : clients) EXPECT_FALSE(client->line().empty());
  clients.clear();
  for (int i = 0; i < 50; ++i) host.loop().run_once(true);
  EXPECT_EQ(server.sessions(), 0U);
}

// ---- a successor process, which is this one ----

class RpcSuccessors : public RpcServers {
 protected:
  RpcSuccessors() {
    server.set_roles({::geteuid(), kNoGroup, kNoGroup});
    successor.set_roles({::geteuid(), kNoGroup, kNoGroup});
    EXPECT_TRUE(server.listen(directory / "control"));
    successor_host.add("lan");
  }

  // With descriptors of its own, as another process has them.
  void go_over() {
    std::optional<HandoverPart> part = server.handover(HandoverReason::upgrade);
    ASSERT_TRUE(part);
    std::vector<HandoverPart> parts{std::move(*part)};
    for_each_descriptor(parts, [](HeldDescriptor& held) {
      held.number = ::fcntl(held.number, F_DUPFD_CLOEXEC, 0);
    });
    ASSERT_TRUE(successor.adopt(parts.front()));
  }
  std::string line_of(FakeClient& client) {
    std::string line;
    for (int round = 0; round < 50 && line.empty(); ++round) {
      successor_host.loop().run_once(true);
      line = client.line_now();
    }
    return line;
  }

  const testing::TemporaryDirectory directory;
  FakeHost successor_host;
  RpcServer successor{successor_host};
};

TEST_F(RpcSuccessors, GoOnWithASession) {
  FakeClient client(server, ::geteuid());
  client.send(R"({"jsonrpc":"2.0","id":5,"method":"network)");
  host.loop().run_once(true);
  go_over();
  client.send(".list\"}\n");
  const Json answer = Json::parse(line_of(client));
  EXPECT_EQ(answer["id"], 5);
  EXPECT_EQ(answer["result"]["networks"].size(), 1U);
}

TEST_F(RpcSuccessors, GoOnWithASubscription) {
  FakeClient client(server, ::geteuid());
  EXPECT_EQ(code_of(client.ask("event.subscribe", {{"kinds", "port.up"}})), 0);
  go_over();
  successor.publish("port.down", Json::object());
  successor.publish("port.up", Json::object());
  EXPECT_EQ(Json::parse(line_of(client))["params"]["kind"], "port.up");
}

TEST_F(RpcSuccessors, TellWhoWaitsToAskAgain) {
  FakeClient client(server, ::geteuid());
  client.send(rpc_request_line(7, "config.reload", {{"file", "/a/file"}}) + "\n");
  for (int i = 0; i < 5; ++i) host.loop().run_once(true);
  ASSERT_EQ(host.reloads.size(), 1U);
  go_over();
  const Json answer = Json::parse(line_of(client));
  EXPECT_EQ(answer["id"], 7);
  EXPECT_NE(text_of(answer).find("ask again"), std::string::npos);
}

}  // namespace
}  // namespace lanyard
