// SPDX-License-Identifier: MIT
#include "backend/gateway/daemon_listeners.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

#include "switch/base/descriptor_passing.h"
#include "switch/network/json_rpc.h"
#include "switch/network/listener_answer.h"

namespace lanyard {
namespace {

struct World {
  World() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
    daemon.reset(ends[0]);
    gateway.reset(ends[1]);
  }
  // Before it is asked, so that nothing has to be waited for.
  void answer(std::uint64_t id, int code, int descriptor = -1) const {
    ListenerAnswer answer{id, code, 0};
    iovec content{&answer, sizeof answer};
    PassedDescriptor passed;
    msghdr header{};
    header.msg_iov = &content;
    header.msg_iovlen = 1;
    passed.attach(header, descriptor);
    ASSERT_EQ(::sendmsg(daemon.get(), &header, 0), ssize_t{sizeof answer});
  }
  int code_of(const Result<UniqueFd>& listener) const {
    return listener ? 0 : listener.error().code;
  }

  UniqueFd daemon;
  UniqueFd gateway;
};

TEST(DaemonListeners, AreNotWaitedForWhenTheDaemonHasNoMemory) {
  World world;
  world.answer(ListenerAnswer::kAnyId, ENOMEM);
  DaemonListeners listeners(std::move(world.gateway));
  EXPECT_EQ(world.code_of(listeners.listen("/run/x")), ENOMEM);
}

TEST(DaemonListeners, AreAskedForByPath) {
  World world;
  world.answer(1, 0, STDERR_FILENO);
  DaemonListeners listeners(std::move(world.gateway));
  const Result<UniqueFd> listener = listeners.listen("/run/x \"y\"");
  ASSERT_TRUE(listener.ok()) << listener.error().text;
  EXPECT_TRUE(static_cast<bool>(listener.value()));
  std::array<char, 256> text{};
  const ssize_t size = ::recv(world.daemon.get(), text.data(), text.size(), 0);
  ASSERT_GT(size, 0);
  const RpcMessage message = parse_rpc({text.data(), static_cast<std::size_t>(size)});
  const auto& request = std::get<RpcRequest>(message);
  EXPECT_EQ(request.method, "listen");
  EXPECT_EQ(request.id, 1);
  EXPECT_EQ(request.params["path"], "/run/x \"y\"");
}

TEST(DaemonListeners, SayWhyThereIsNone) {
  struct Case {
    const char* says;
    int expected;
    void (*prepare)(World&);
  };
  for (const Case& c : {
           Case{"refused", EPERM, [](World& w) { w.answer(1, EPERM); }},
           Case{"the descriptor was lost", EMFILE, [](World& w) { w.answer(1, 0); }},
           Case{"no answer", ETIMEDOUT, [](World&) {}},
           Case{"the daemon is gone", EPIPE, [](World& w) { w.daemon.reset(); }},
           Case{"no answer of ours", EPIPE, [](World& w) { ::send(w.daemon.get(), "x", 1, 0); }},
       }) {
    World world;
    c.prepare(world);
    DaemonListeners listeners(std::move(world.gateway), Duration{0});
    EXPECT_EQ(world.code_of(listeners.listen("/run/x")), c.expected) << c.says;
  }
}

TEST(DaemonListeners, ThrowALateAnswerAway) {
  World world;
  DaemonListeners listeners(std::move(world.gateway), Duration{0});
  EXPECT_EQ(world.code_of(listeners.listen("/run/x")), ETIMEDOUT);
  world.answer(1, 0, STDERR_FILENO);
  world.answer(2, EADDRINUSE);
  EXPECT_EQ(world.code_of(listeners.listen("/run/y")), EADDRINUSE);
}

}  // namespace
}  // namespace lanyard
