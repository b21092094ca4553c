// SPDX-License-Identifier: MIT
//
// The daemon's side and the spawner's, each in a thread of its own, over a real link.
#include "switch/daemon/spawner.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <thread>

#include "switch/base/poll_one.h"
#include "switch/base/unix_socket.h"
#include "tests/support/fake_log.h"
#include "tests/support/temporary_directory.h"

namespace lanyard {
namespace {

bool exists(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0;
}

class SpawnerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    // Stands in for a gateway: it goes on until it is told to end.
    std::ofstream(path("gateway")) << "#!/bin/sh\nexec sleep 60\n";
    ASSERT_EQ(::chmod(path("gateway").c_str(), 0700), 0);
    Result<SpawnerLink::Pair> pair = SpawnerLink::make_pair();
    ASSERT_TRUE(pair);
    spawner = std::make_unique<Spawner>(*loop, log, std::move(pair.value().ours));
    thread = std::thread([this, theirs = pair.value().theirs.release()] { serve(theirs); });
  }
  void TearDown() override {
    spawner.reset();
    thread.join();
  }
  void serve(int link) {
    const std::unique_ptr<EventLoop> own = EventLoop::create().take();
    SpawnerProcess process(*own, UniqueFd(link), {{path("gateway"), 0}, directory.path()});
    ASSERT_TRUE(process.start());
    while (!own->stopped()) own->run_once(false);
    finished = process.finished();
  }
  std::string path(const char* name) const { return directory.path() + "/" + name; }

  testing::TemporaryDirectory directory;
  testing::FakeLog log;
  std::unique_ptr<EventLoop> loop = EventLoop::create().take();
  std::unique_ptr<Spawner> spawner;
  std::thread thread;
  bool finished = false;
};

TEST(SpawnerLink, RefusesWhatItHasNotReadYet) {
  Result<SpawnerLink::Pair> pair = SpawnerLink::make_pair();
  ASSERT_TRUE(pair);
  SpawnerLink& daemon = pair.value().ours;
  SpawnerLink own(std::move(pair.value().theirs));
  EXPECT_EQ(own.next_id(), std::nullopt);
  for (const std::uint64_t id : {std::uint64_t{7}, std::uint64_t{8} << 40}) {
    ASSERT_TRUE(daemon.ask({.kind = SpawnerRequest::Kind::clean_up, .id = id}));
    EXPECT_EQ(own.next_id(), id);
    EXPECT_TRUE(own.refuse(id));
    EXPECT_EQ(own.next_id(), std::nullopt);
    const Result<std::optional<SpawnerLink::Received>> answer = daemon.receive();
    ASSERT_TRUE(answer && answer.value());
    EXPECT_EQ(answer.value()->message.id, id);
    EXPECT_EQ(answer.value()->message.code, ENOMEM);
  }
}

TEST(SpawnerLink, RefusesWhatItHasReadAndNotTheNext) {
  Result<SpawnerLink::Pair> pair = SpawnerLink::make_pair();
  ASSERT_TRUE(pair);
  SpawnerLink own(std::move(pair.value().theirs));
  for (const std::uint64_t id : {7U, 8U}) {
    ASSERT_TRUE(pair.value().ours.ask({.kind = SpawnerRequest::Kind::clean_up, .id = id}));
  }
  ASSERT_TRUE(own.next());
  EXPECT_TRUE(own.refuse(7));
  EXPECT_EQ(own.next_id(), 8U);
}

TEST_F(SpawnerTest, EndsWhenTheDaemonSaysSo) {
  spawner.reset();
  thread.join();
  EXPECT_TRUE(finished);
  thread = std::thread([] {});
}

TEST_F(SpawnerTest, ListensForAForward) {
  const Result<UniqueFd> made = spawner->listen_at(path("web"));
  ASSERT_TRUE(made);
  EXPECT_TRUE(socket_answers(path("web"), SOCK_STREAM));
  spawner->remove_name(path("web"));
  EXPECT_FALSE(exists(path("web")));
}

TEST_F(SpawnerTest, SaysWhyThereIsNoListener) {
  const Result<UniqueFd> made = spawner->listen_at(path("no/such/place"));
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ENOENT);
  EXPECT_NE(made.error().text.find("no/such/place"), std::string::npos);
}

TEST_F(SpawnerTest, RemovesNoNameButItsOwn) {
  const Result<UniqueFd> foreign = listen_unix(path("foreign"), SocketAccess{}, 1);
  ASSERT_TRUE(foreign);
  spawner->remove_name(path("foreign"));
  EXPECT_TRUE(exists(path("foreign")));
  spawner->adopt_name(path("foreign"));
  spawner->remove_name(path("foreign"));
  EXPECT_FALSE(exists(path("foreign")));
}

TEST_F(SpawnerTest, AdoptsNothingOnceTheDaemonIsConfined) {
  const Result<UniqueFd> foreign = listen_unix(path("foreign"), SocketAccess{}, 1);
  ASSERT_TRUE(foreign);
  spawner->settle();
  spawner->adopt_name(path("foreign"));
  spawner->remove_name(path("foreign"));
  EXPECT_TRUE(exists(path("foreign")));
  spawner->adopt_gateway(::getppid());
  EXPECT_FALSE(spawner->gateway_status(::getppid()));
}

TEST_F(SpawnerTest, StartsAGatewayAndTellsHowItEnded) {
  Result<StartedGateway> started = spawner->start_gateway("nat");
  ASSERT_TRUE(started) << started.error().text;
  StartedGateway& gateway = started.value();
  EXPECT_EQ(::kill(gateway.pid, 0), 0);
  EXPECT_TRUE(gateway.process && gateway.frames && gateway.control && gateway.listeners);
  const Result<int> running = spawner->gateway_status(gateway.pid);
  ASSERT_FALSE(running);
  EXPECT_EQ(running.error().code, EAGAIN);
  spawner->signal_gateway(gateway.pid, SIGKILL);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(gateway.pid), &info, WEXITED | WNOWAIT), 0);
  const Result<int> status = spawner->gateway_status(gateway.pid);
  ASSERT_TRUE(status);
  EXPECT_TRUE(WIFSIGNALED(status.value()) && WTERMSIG(status.value()) == SIGKILL);
}

TEST_F(SpawnerTest, WaitsForTheEndOfGateways) {
  const Result<StartedGateway> started = spawner->start_gateway("nat");
  ASSERT_TRUE(started);
  spawner->end_gateway(started.value().pid, SIGTERM);
  spawner.reset();
  thread.join();
  EXPECT_EQ(::kill(started.value().pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
  thread = std::thread([] {});
}

// Whose start, or end, the daemon had no memory to hear of.
TEST(SpawnerGateways, ForgetAGatewayThatHasEndedWithTheNextStart) {
  const std::unique_ptr<EventLoop> loop = EventLoop::create().take();
  SpawnerGateways gateways(*loop, {"true", 0});
  const Result<SpawnerAnswer> first = gateways.start("nat");
  const Result<SpawnerAnswer> other = gateways.start("other");
  ASSERT_TRUE(first && other);
  for (const Result<SpawnerAnswer>* one : {&first, &other}) {
    poll_one(one->value().descriptors[0].get(), POLLIN, std::nullopt);
  }
  const Result<SpawnerAnswer> next = gateways.start("nat");
  ASSERT_TRUE(next);
  const Result<int> forgotten = gateways.status(static_cast<pid_t>(first.value().value));
  ASSERT_FALSE(forgotten);
  EXPECT_EQ(forgotten.error().code, ESRCH);
  EXPECT_EQ(::waitpid(static_cast<pid_t>(first.value().value), nullptr, WNOHANG), -1);
  EXPECT_TRUE(gateways.status(static_cast<pid_t>(other.value().value))) << "it may be asked for";
  ASSERT_TRUE(gateways.end(static_cast<pid_t>(next.value().value), SIGKILL));
}

TEST_F(SpawnerTest, TouchesNoProcessThatIsNoGatewayOfItsOwn) {
  const pid_t bystander = ::fork();
  if (bystander == 0) {
    ::pause();
    ::_exit(0);
  }
  spawner->signal_gateway(bystander, SIGKILL);
  spawner->end_gateway(bystander, SIGKILL);
  EXPECT_FALSE(spawner->gateway_status(bystander));
  EXPECT_EQ(::waitpid(bystander, nullptr, WNOHANG), 0);
  EXPECT_TRUE(log.contains("no gateway of ours")) << log.text();
  ::kill(bystander, SIGKILL);
  ::waitpid(bystander, nullptr, 0);
}

TEST_F(SpawnerTest, RefusesWhatMakesNoSense) {
  NetworkConfig network;
  network.name = "lab";
  const Result<void> claimed = spawner->claim_host(network);
  ASSERT_FALSE(claimed);
  EXPECT_EQ(claimed.error().code, EPERM);
  EXPECT_FALSE(spawner->attach_tap("a/b", true));
  EXPECT_FALSE(spawner->start_gateway("--version"));
}

TEST_F(SpawnerTest, SetsNoHostUpThatWasNotClaimed) {
  NetworkConfig network;
  network.name = "lab";
  network.kind = NetworkKind::host_only;
  network.host.emplace();
  network.host->name = "lanyard0";
  network.host->address = Ipv4Prefix::parse("192.168.60.1/24");
  const Result<void> up = spawner->set_up_host(network);
  ASSERT_FALSE(up);
  EXPECT_EQ(up.error().text, "lanyard0 has not been claimed");
}

TEST_F(SpawnerTest, ReadsAConfigurationAndNothingElse) {
  const std::string file = directory.file("lab.toml", "[network.lab]\nkind = \"internal\"\n");
  const Result<std::string> text = spawner->read_configuration(file);
  ASSERT_TRUE(text) << text.error().text;
  EXPECT_NE(text.value().find("[network.lab]"), std::string::npos) << text.value();
  const std::string other = directory.file("shadow", "root:secret:1\n");
  const Result<std::string> none = spawner->read_configuration(other);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().text.find("secret"), std::string::npos) << none.error().text;
}

// ---- the link alone ----

TEST(SpawnerLink, AnswersARequestThatIsNone) {
  Result<SpawnerLink::Pair> pair = SpawnerLink::make_pair();
  ASSERT_TRUE(pair);
  const SpawnerLink theirs(std::move(pair.value().theirs));
  std::string bytes = encode_spawner_request({.kind = SpawnerRequest::Kind::finish, .id = 77});
  bytes.back() = 'x';
  ASSERT_GE(::send(pair.value().ours.fd(), bytes.data(), bytes.size(), 0), 0);
  const Result<std::optional<SpawnerLink::Asked>> asked = theirs.next();
  ASSERT_TRUE(asked && asked.value());
  EXPECT_EQ(asked.value()->id, 77U);
  EXPECT_FALSE(asked.value()->request);
}

TEST(Spawner, SaysThatItIsGone) {
  const std::unique_ptr<EventLoop> loop = EventLoop::create().take();
  testing::FakeLog log;
  Result<SpawnerLink::Pair> pair = SpawnerLink::make_pair();
  ASSERT_TRUE(pair);
  Spawner spawner(*loop, log, std::move(pair.value().ours));
  int lost = 0;
  spawner.lost = [&] { ++lost; };
  pair.value().theirs.reset();
  const Result<StartedGateway> started = spawner.start_gateway("nat");
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, EPIPE);
  EXPECT_EQ(lost, 1);
  EXPECT_TRUE(log.contains("no gateway can be started"));
}

}  // namespace
}  // namespace lanyard
