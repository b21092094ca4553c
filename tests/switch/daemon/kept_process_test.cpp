// SPDX-License-Identifier: MIT
//
// The switch process's side of the keeper, against a keeper that is this test.
#include "switch/daemon/kept_process.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "tests/support/fake_log.h"

namespace lanyard::testing {
namespace {

using Kind = KeeperMessage::Kind;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

UniqueFd any_descriptor() {
  return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

class KeptProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Result<KeeperLink::Pair> pair = KeeperLink::make_pair();
    ASSERT_TRUE(pair);
    keeper = std::move(pair.value().ours);
    const std::string number = std::to_string(pair.value().theirs.release());
    ASSERT_EQ(::setenv(KeptProcess::kLinkVariable, number.c_str(), 1), 0);
    kept = KeptProcess::from_environment();
    loop = EventLoop::create().take();
    state.switches.resize(1);
  }

  // As the daemon does: nothing to begin with, then served.
  void serve() {
    ASSERT_EQ(keeper.send({.kind = Kind::go}), KeeperLink::Sent::done);
    const Result<std::optional<HandoverState>> before = kept.begin();
    ASSERT_TRUE(before);
    ASSERT_FALSE(before.value());
    attach();
    kept.ready();
  }
  void attach() {
    KeptProcess::Callbacks callbacks;
    callbacks.state = [this](HandoverReason) { return state; };
    callbacks.resumed = [this] { ++resumed; };
    ASSERT_TRUE(kept.attach(*loop, log, std::move(callbacks)));
  }

  void add_client(int number, Time since) {
    HandoverPart part;
    part.kind = "client";
    part.descriptors = {{number, since, true, false}};
    state.switches[0].parts.push_back(std::move(part));
  }

  // Before what it is to go on with.
  void give(int number, const UniqueFd& descriptor) {
    const Time since = state.switches[0].parts[0].descriptors[0].since;
    KeeperMessage message{.kind = Kind::give, .number = number, .since = since};
    message.drain = true;
    keeper.send(message, descriptor.get());
    keeper.send({.kind = Kind::state}, seal_bytes(encode_handover(state)).value().get());
    keeper.send({.kind = Kind::go});
  }
  // The signs of life that the keeper has heard since it was last asked: what each promises, in
  // milliseconds.
  std::vector<std::uint32_t> alive() {
    std::vector<std::uint32_t> periods;
    for (;;) {
      Result<std::optional<KeeperLink::Received>> received = keeper.receive();
      if (!received || !received.value()) return periods;
      const KeeperMessage& message = received.value()->message;
      if (message.kind == Kind::alive) periods.push_back(message.value);
    }
  }

  // What the keeper has heard since it was last asked, but for signs of life.
  std::vector<Kind> heard() {
    std::vector<Kind> kinds;
    for (;;) {
      Result<std::optional<KeeperLink::Received>> received = keeper.receive();
      if (!received || !received.value()) return kinds;
      if (received.value()->message.kind == Kind::alive) continue;
      kinds.push_back(received.value()->message.kind);
      if (received.value()->message.kind == Kind::state) {
        last_state = read_sealed(received.value()->descriptor.get()).value();
      }
      last = received.value()->message;
    }
  }

  FakeLog log;
  std::unique_ptr<EventLoop> loop;
  KeeperLink keeper;
  KeptProcess kept;
  HandoverState state;
  std::string last_state;
  KeeperMessage last;
  int resumed = 0;
};

TEST(KeptProcess, WithoutAKeeperNothingHappens) {
  KeptProcess kept = KeptProcess::from_environment();
  EXPECT_FALSE(kept.kept());
  EXPECT_FALSE(kept.begin().value());
  kept.ready();
  kept.commit();
  kept.ending();
  std::optional<Error> refused;
  kept.upgrade([&](const Result<void>& done) { refused = done.error(); });
  ASSERT_TRUE(refused);
  EXPECT_THAT(refused->text, HasSubstr("--keeper"));
}

TEST_F(KeptProcessTest, TheLinkIsTakenOutOfTheEnvironmentAndOfTheWay) {
  EXPECT_TRUE(kept.kept());
  EXPECT_EQ(::getenv(KeptProcess::kLinkVariable), nullptr);
}

TEST_F(KeptProcessTest, DescriptorsAreToldBeforeTheStateAndTakenBackAfterIt) {
  serve();
  heard();
  const UniqueFd one = any_descriptor();
  add_client(one.get(), Time(1));
  kept.commit();
  EXPECT_THAT(heard(), ElementsAre(Kind::hold, Kind::state));
  EXPECT_EQ(last_state, encode_handover(state));
  state.switches[0].parts.clear();
  kept.commit();
  EXPECT_THAT(heard(), ElementsAre(Kind::state, Kind::release));
  EXPECT_EQ(last.number, one.get());
}

TEST_F(KeptProcessTest, WhatHasNotChangedIsNotToldAgain) {
  serve();
  heard();
  kept.commit();
  EXPECT_THAT(heard(), ElementsAre());
}

TEST_F(KeptProcessTest, ANumberThatIsUsedAgainIsToldAgain) {
  const UniqueFd one = any_descriptor();
  add_client(one.get(), Time(1));
  serve();
  heard();
  state.switches[0].parts[0].descriptors[0].since = Time(2);
  kept.commit();
  EXPECT_THAT(heard(), ElementsAre(Kind::hold, Kind::state));
}

TEST_F(KeptProcessTest, WhatFindsNoRoomIsToldLater) {
  const UniqueFd one = any_descriptor();
  add_client(one.get(), Time(1));
  serve();
  Time& since = state.switches[0].parts[0].descriptors[0].since;
  // Nobody reads meanwhile.
  for (int i = 0; i < 2000; ++i) {
    since += Time(1);
    kept.commit();
  }
  heard();
  EXPECT_NE(last_state, encode_handover(state));
  kept.commit();
  heard();
  EXPECT_EQ(last_state, encode_handover(state));
}

TEST_F(KeptProcessTest, ASuccessorHasDescriptorsUnderTheirNumbers) {
  constexpr int kNumber = 300;
  add_client(kNumber, Time(7));
  KeeperMessage give{.kind = Kind::give, .number = kNumber, .since = Time(7)};
  ASSERT_EQ(keeper.send(give, any_descriptor().get()), KeeperLink::Sent::done);
  ASSERT_EQ(keeper.send({.kind = Kind::state}, seal_bytes(encode_handover(state)).take().get()),
            KeeperLink::Sent::done);
  ASSERT_EQ(keeper.send({.kind = Kind::go}), KeeperLink::Sent::done);
  const Result<std::optional<HandoverState>> before = kept.begin();
  ASSERT_TRUE(before) << before.error().text;
  EXPECT_EQ(before.value(), state);
  EXPECT_GE(::fcntl(kNumber, F_GETFD), 0);
  ::close(kNumber);
}

// A period of nothing kept a successor and its keeper busy with each other for good.
TEST_F(KeptProcessTest, ASuccessorWithTheSameStateTellsAsOftenThatItIsAlive) {
  constexpr int kNumber = 700;
  add_client(kNumber, Time(1));
  give(kNumber, any_descriptor());
  Result<std::optional<HandoverState>> before = kept.begin();
  ASSERT_TRUE(before && before.value());
  attach();
  kept.ready();
  constexpr std::uint32_t kPromised = 30;
  EXPECT_THAT(alive(), AllOf(Not(IsEmpty()), Each(kPromised)));
  for (int turn = 0; turn < 10; ++turn) loop->run_once(true);
  EXPECT_THAT(alive(), ElementsAre());
  ::close(kNumber);
}

TEST_F(KeptProcessTest, APartWhoseDescriptorIsAnotherOneNowIsDropped) {
  add_client(300, Time(7));
  add_client(301, Time(7));
  for (const auto& [number, since] : {std::pair{300, Time(7)}, {301, Time(8)}}) {
    KeeperMessage give{.kind = Kind::give, .number = number, .since = since};
    ASSERT_EQ(keeper.send(give, any_descriptor().get()), KeeperLink::Sent::done);
  }
  keeper.send({.kind = Kind::state}, seal_bytes(encode_handover(state)).take().get());
  keeper.send({.kind = Kind::go});
  const Result<std::optional<HandoverState>> before = kept.begin();
  ASSERT_TRUE(before && before.value());
  ASSERT_EQ(before.value()->switches[0].parts.size(), 1U);
  EXPECT_EQ(before.value()->switches[0].parts[0].descriptors[0].number, 300);
  EXPECT_LT(::fcntl(301, F_GETFD), 0) << "what nobody uses is closed";
  ::close(300);
}

// A client left, and the next one has its number, while descriptors were given.
TEST_F(KeptProcessTest, OfANumberThatIsGivenTwiceTheLaterOneCounts) {
  constexpr int kNumber = 310;
  add_client(kNumber, Time(8));
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  UniqueFd left(ends[0]);
  const UniqueFd far_end(ends[1]);
  UniqueFd next = any_descriptor();
  for (const auto& [since, descriptor] : {std::pair{Time(7), &left}, {Time(8), &next}}) {
    KeeperMessage give{.kind = Kind::give, .number = kNumber, .since = since};
    ASSERT_EQ(keeper.send(give, descriptor->get()), KeeperLink::Sent::done);
    descriptor->reset();
  }
  keeper.send({.kind = Kind::state}, seal_bytes(encode_handover(state)).take().get());
  keeper.send({.kind = Kind::go});
  const Result<std::optional<HandoverState>> before = kept.begin();
  ASSERT_TRUE(before && before.value());
  EXPECT_EQ(before.value(), state);
  char byte = 0;
  EXPECT_EQ(::recv(far_end.get(), &byte, 1, MSG_DONTWAIT), 0) << "nobody has the other one";
  ::close(kNumber);
}

TEST_F(KeptProcessTest, WhatTakesItsTimeIsDoneWhileNobodyWaits) {
  int prepared = 0;
  const auto prepare = [&] {
    ++prepared;
    keeper.send({.kind = Kind::go});
  };
  EXPECT_TRUE(kept.begin(prepare));
  EXPECT_EQ(prepared, 1) << "it stands by";
}

TEST_F(KeptProcessTest, WhoeverIsNeededNowPreparesNothing) {
  keeper.send({.kind = Kind::go});
  EXPECT_TRUE(kept.begin([] { ADD_FAILURE(); }));
}

TEST_F(KeptProcessTest, WhoeverIsAskedPreparesOnceBeforeItAnswers) {
  std::vector<Kind> before_it;
  keeper.send({.kind = Kind::state}, seal_bytes(encode_handover(state)).take().get());
  for (const Kind kind : {Kind::check, Kind::check, Kind::go}) keeper.send({.kind = kind});
  int prepared = 0;
  const auto prepare = [&] {
    ++prepared;
    before_it = heard();
  };
  EXPECT_TRUE(kept.begin(prepare));
  EXPECT_EQ(prepared, 1);
  EXPECT_THAT(before_it, ElementsAre());
  EXPECT_THAT(heard(), ElementsAre(Kind::verdict, Kind::verdict));
}

TEST_F(KeptProcessTest, AStateIsJudgedBeforeItIsUsed) {
  std::string bad = encode_handover(state);
  bad.back() = static_cast<char>(bad.back() ^ 1);
  std::vector<std::string> verdicts;
  for (const std::string& bytes : {encode_handover(state), bad, std::string()}) {
    keeper.send({.kind = Kind::state}, seal_bytes(bytes).take().get());
    keeper.send({.kind = Kind::check});
  }
  keeper.send({.kind = Kind::state}, seal_bytes(encode_handover(state)).take().get());
  keeper.send({.kind = Kind::go});
  EXPECT_TRUE(kept.begin());
  while (std::optional<KeeperLink::Received> received = keeper.receive().take()) {
    ASSERT_EQ(received->message.kind, Kind::verdict);
    verdicts.push_back(received->message.text);
  }
  EXPECT_THAT(verdicts, ElementsAre("", HasSubstr("checksum"), HasSubstr("too few")));
}

TEST_F(KeptProcessTest, WithoutItsKeeperItGoesOn) {
  serve();
  std::optional<Error> refused;
  kept.upgrade([&](const Result<void>& done) { refused = done.error(); });
  EXPECT_FALSE(refused);
  keeper.close();
  while (kept.kept()) loop->run_once(false);
  EXPECT_TRUE(refused);
  kept.commit();
}

TEST_F(KeptProcessTest, ARefusedUpgradeIsAnswered) {
  serve();
  std::optional<Error> refused;
  kept.upgrade([&](const Result<void>& done) { refused = done.error(); });
  keeper.send({.kind = Kind::resume, .text = "it is \x01 too old"});
  while (!refused) loop->run_once(false);
  EXPECT_THAT(refused->text, HasSubstr("too old"));
  EXPECT_EQ(resumed, 0) << "it has gone on all the time";
}

TEST_F(KeptProcessTest, AfterASuccessorThatComesToNothingItIsToldToItsOwner) {
  serve();
  keeper.send({.kind = Kind::seal});
  keeper.send({.kind = Kind::resume, .text = "it has ended"});
  loop->run_once(false);
  EXPECT_EQ(resumed, 1);
}

}  // namespace
}  // namespace lanyard::testing
