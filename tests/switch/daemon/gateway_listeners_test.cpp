// SPDX-License-Identifier: MIT
#include "switch/daemon/gateway_listeners.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <new>

#include "switch/base/text.h"
#include "switch/base/unix_socket.h"
#include "switch/network/config_json.h"
#include "switch/network/listener_answer.h"
#include "tests/support/fake_log.h"

namespace lanyard {
namespace {

constexpr int kNoAnswer = -1;

std::string path_of(std::string_view name) {
  return fmt::format("{}gateway-listeners-{}-{}", ::testing::TempDir(), ::getpid(), name);
}

Json forward(const std::string& name, const std::string& path) {
  ForwardConfig config;
  config.name = name;
  config.unix_path = path;
  config.guest = "10.0.2.15";
  config.guest_port = 80;
  return to_json(config);
}

Json network(const std::vector<Json>& forwards) {
  NetworkConfig config;
  config.name = "nat";
  config.kind = NetworkKind::nat;
  config.subnet = Ipv4Prefix::parse("10.0.2.0/24");
  config.router = Ipv4Address::parse("10.0.2.2");
  for (const Json& json : forwards) config.forwards.push_back(forward_from_json(json).value());
  return {{"network", to_json(config)}};
}

bool exists(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0;
}

// Makes them itself.
class OwnSockets final : public PathSockets {
 public:
  Result<UniqueFd> listen_at(const std::string& path) override {
    if (!has_memory) throw std::bad_alloc();
    return listen_unix(path, SocketAccess{}, 1);
  }
  void remove_name(const std::string& path) override { unlink_socket(path); }
  void adopt_name(const std::string& path) override { adopted.push_back(path); }

  std::vector<std::string> adopted;
  bool has_memory = true;
};

// A daemon's end, and a gateway that the test plays.
struct World {
  World() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
    gateway.reset(ends[1]);
    listeners = GatewayListeners::open(*loop, log, sockets, "nat", UniqueFd(ends[0])).take();
  }

  void say(const std::string& text) {
    ASSERT_GE(::send(gateway.get(), text.data(), text.size(), 0), 0);
    loop->run_once(false);
  }
  // The answer's code, or kNoAnswer; the descriptor is in `made`.
  int listen(const std::string& path) {
    say(rpc_request_line(++id, "listen", {{"path", path}}));
    return answer();
  }
  int answer() {
    ListenerAnswer answer;
    iovec content{&answer, sizeof answer};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> room{};
    msghdr header{};
    header.msg_iov = &content;
    header.msg_iovlen = 1;
    header.msg_control = room.data();
    header.msg_controllen = room.size();
    if (::recvmsg(gateway.get(), &header, MSG_DONTWAIT) != sizeof answer) return kNoAnswer;
    EXPECT_EQ(answer.id, id);
    if (const cmsghdr* const part = CMSG_FIRSTHDR(&header)) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(part), sizeof number);
      made.reset(number);
    }
    return answer.code;
  }
  void unlisten(const std::string& path) {
    say(rpc_notification_line("unlisten", {{"path", path}}));
  }
  void ask(std::string_view method, const Json& params, bool done = true) {
    listeners->asked(++asked, method, params);
    listeners->answered(asked, done);
  }

  std::unique_ptr<EventLoop> loop = EventLoop::create().take();
  testing::FakeLog log;
  OwnSockets sockets;
  UniqueFd gateway;
  UniqueFd made;
  std::uint64_t id = 0;
  std::uint64_t asked = 0;
  std::unique_ptr<GatewayListeners> listeners;
};

TEST(GatewayListeners, GiveAListenerForAForwardOfTheirs) {
  World world;
  const std::string path = path_of("given");
  world.listeners->asked(1, "forward.add", {{"forward", forward("web", path)}});
  ASSERT_EQ(world.listen(path), 0) << "while the gateway has not answered";
  world.listeners->answered(1, true);
  struct stat info {};
  ASSERT_EQ(::lstat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  int listening = 0;
  socklen_t size = sizeof listening;
  EXPECT_EQ(::getsockopt(world.made.get(), SOL_SOCKET, SO_ACCEPTCONN, &listening, &size), 0);
  EXPECT_EQ(listening, 1) << "so that it can be connected to nothing";
  EXPECT_TRUE(socket_answers(path, SOCK_STREAM));
  world.unlisten(path);
  EXPECT_FALSE(exists(path));
}

TEST(GatewayListeners, GiveNoneElsewhere) {
  World world;
  world.ask("configure", network({forward("web", path_of("web"))}));
  for (const std::string& path : {path_of("other"), std::string(), std::string(500, 'x')}) {
    EXPECT_EQ(world.listen(path), EPERM) << path;
    EXPECT_FALSE(exists(path)) << path;
  }
}

TEST(GatewayListeners, SayThatThereIsNoMemoryToWhomeverWaits) {
  World world;
  const std::string path = path_of("web");
  world.ask("configure", network({forward("web", path)}));
  world.sockets.has_memory = false;
  world.say(rpc_request_line(7, "listen", {{"path", path}}));
  world.id = ListenerAnswer::kAnyId;
  EXPECT_EQ(world.answer(), ENOMEM);
  world.sockets.has_memory = true;
  EXPECT_EQ(world.listen(path), 0);
}

TEST(GatewayListeners, RemoveNoNameThatIsNotTheirs) {
  World world;
  const std::string path = path_of("foreign");
  const UniqueFd foreign = listen_unix(path, SocketAccess{}, 1).take();
  world.unlisten(path);
  world.ask("forward.add", {{"forward", forward("web", path)}});
  EXPECT_EQ(world.listen(path), EADDRINUSE);
  world.unlisten(path);
  world.ask("forward.delete", {{"name", "web"}});
  EXPECT_TRUE(exists(path));
  unlink_socket(path);
}

TEST(GatewayListeners, ReplaceANameThatNobodyAnswers) {
  World world;
  const std::string path = path_of("stale");
  (void)listen_unix(path, SocketAccess{}, 1);
  ASSERT_TRUE(exists(path));
  world.ask("configure", network({forward("web", path)}));
  EXPECT_EQ(world.listen(path), 0);
}

TEST(GatewayListeners, TakeTheNameAwayWithTheForward) {
  struct Case {
    const char* says;
    void (*end)(World&);
  };
  for (const Case& c : {
           Case{"deleted",
                [](World& w) {
                  w.ask("forward.delete", {{"name", "web"}});
                }},
           Case{"no longer configured", [](World& w) { w.ask("configure", network({})); }},
           Case{"moved",
                [](World& w) { w.ask("configure", network({forward("web", path_of("new"))})); }},
           Case{"the gateway has ended", [](World& w) { w.listeners.reset(); }},
       }) {
    World world;
    const std::string path = path_of("ends");
    world.ask("forward.add", {{"forward", forward("web", path)}});
    ASSERT_EQ(world.listen(path), 0) << c.says;
    c.end(world);
    EXPECT_FALSE(exists(path)) << c.says;
    if (world.listeners) {
      EXPECT_EQ(world.listen(path), EPERM) << c.says;
    }
  }
}

TEST(GatewayListeners, KeepWhatARefusedRequestWouldHaveEnded) {
  World world;
  const std::string path = path_of("kept");
  world.ask("forward.add", {{"forward", forward("web", path)}});
  ASSERT_EQ(world.listen(path), 0);
  world.ask("forward.delete", {{"name", "web"}}, false);
  world.ask("configure", network({}), false);
  world.ask("forward.add", {{"forward", forward("again", path)}}, false);
  EXPECT_TRUE(exists(path));
}

TEST(GatewayListeners, KeepAForwardThatWasAddedWhileAConfigurationWasOnItsWay) {
  World world;
  const std::string path = path_of("meanwhile");
  world.listeners->asked(1, "forward.add", {{"forward", forward("web", path)}});
  world.listeners->asked(2, "configure", network({}));
  EXPECT_EQ(world.listen(path), 0);
  world.listeners->answered(1, true);
  world.listeners->answered(2, true);
  EXPECT_TRUE(exists(path));
}

TEST(GatewayListeners, SurviveWhatIsNoRequest) {
  World world;
  for (const std::string& text :
       {std::string("nonsense"), std::string(60000, '{'), rpc_request_line(1, "listen", {}),
        rpc_request_line("one", "listen", {{"path", "/x"}}),
        rpc_request_line(1, "listen", {{"path", 5}}), rpc_request_line(1, "rename", {})}) {
    world.say(text);
  }
  world.id = 1;
  while (world.answer() != kNoAnswer) {
  }
  const std::string path = path_of("after");
  world.ask("configure", network({forward("web", path)}));
  EXPECT_EQ(world.listen(path), 0);
}

TEST(GatewayListeners, GoOnInASuccessor) {
  const std::string path = path_of("successor");
  const Json configuration = network({forward("web", path)});
  World before;
  before.ask("configure", configuration);
  ASSERT_EQ(before.listen(path), 0);
  World after;
  after.listeners->resume(before.listeners->names(), configuration);
  after.unlisten(path);
  EXPECT_FALSE(exists(path));
  EXPECT_EQ(after.listen(path), 0);
}

}  // namespace
}  // namespace lanyard
