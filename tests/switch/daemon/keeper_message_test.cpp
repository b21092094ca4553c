// SPDX-License-Identifier: MIT
#include "switch/daemon/keeper_message.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>

namespace lanyard {
namespace {

using Kind = KeeperMessage::Kind;

KeeperMessage a_message() {
  KeeperMessage message;
  message.kind = Kind::hold;
  message.number = 65'535;
  message.since = std::chrono::hours(9);
  message.drain = true;
  message.value = 30;
  message.text = "why\0not", message.text.push_back('\n');
  return message;
}

TEST(KeeperMessage, ComesOutAsItWentIn) {
  for (const bool exclusive : {false, true}) {
    KeeperMessage message = a_message();
    message.exclusive = exclusive;
    message.drain = !exclusive;
    const Result<KeeperMessage> read = decode_keeper_message(encode_keeper_message(message));
    ASSERT_TRUE(read);
    EXPECT_EQ(read.value(), message);
  }
}

TEST(KeeperMessage, WhatIsNoneIsRefused) {
  const std::string good = encode_keeper_message(a_message());
  std::string other_magic = good;
  other_magic[0] ^= 1;
  for (const std::string& bytes : {std::string(), good.substr(0, 23), other_magic}) {
    EXPECT_FALSE(decode_keeper_message(bytes)) << bytes.size();
  }
}

TEST(KeeperMessage, ATextIsCutWhereTheReaderWouldCutIt) {
  KeeperMessage message = a_message();
  message.text.assign(KeeperMessage::kTextMax + 1, 'x');
  const Result<KeeperMessage> read = decode_keeper_message(encode_keeper_message(message));
  ASSERT_TRUE(read);
  EXPECT_EQ(read.value().text.size(), KeeperMessage::kTextMax);
}

class KeeperLinkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Result<KeeperLink::Pair> pair = KeeperLink::make_pair();
    ASSERT_TRUE(pair);
    one = std::move(pair.value().ours);
    other = KeeperLink(std::move(pair.value().theirs));
  }

  KeeperLink one;
  KeeperLink other;
};

TEST_F(KeeperLinkTest, ADescriptorGoesAlong) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const UniqueFd reader(ends[0]);
  const UniqueFd writer(ends[1]);
  ASSERT_EQ(one.send(a_message(), writer.get()), KeeperLink::Sent::done);
  Result<std::optional<KeeperLink::Received>> received = other.receive();
  ASSERT_TRUE(received && received.value());
  EXPECT_EQ(received.value()->message, a_message());
  const UniqueFd& copy = received.value()->descriptor;
  ASSERT_TRUE(copy);
  EXPECT_NE(copy.get(), writer.get());
  EXPECT_NE(::fcntl(copy.get(), F_GETFD) & FD_CLOEXEC, 0);
  ASSERT_EQ(::write(copy.get(), "x", 1), 1);
  char byte = 0;
  EXPECT_EQ(::read(reader.get(), &byte, 1), 1);
}

TEST_F(KeeperLinkTest, NothingThereIsNoError) {
  const Result<std::optional<KeeperLink::Received>> received = other.receive();
  ASSERT_TRUE(received);
  EXPECT_FALSE(received.value());
}

TEST_F(KeeperLinkTest, WhatIsFullSaysSoAndHasRoomAgain) {
  KeeperLink::Sent sent = KeeperLink::Sent::done;
  int messages = 0;
  while ((sent = one.send(a_message())) == KeeperLink::Sent::done) ++messages;
  EXPECT_EQ(sent, KeeperLink::Sent::no_room);
  for (int i = 0; i < messages; ++i) ASSERT_TRUE(other.receive().value());
  EXPECT_EQ(one.send(a_message()), KeeperLink::Sent::done);
}

TEST_F(KeeperLinkTest, WhatWasSaidBeforeTheEndIsHeard) {
  ASSERT_EQ(one.send(a_message()), KeeperLink::Sent::done);
  one.close();
  EXPECT_TRUE(other.receive().value());
  const Result<std::optional<KeeperLink::Received>> end = other.receive();
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().code, EPIPE);
  EXPECT_EQ(other.send(a_message()), KeeperLink::Sent::gone);
}

TEST(SealedBytes, AreReadAsTheyWereAndNobodyChangesThem) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{3} << 20}) {
    const std::string bytes(size, 'b');
    const Result<UniqueFd> file = seal_bytes(bytes);
    ASSERT_TRUE(file);
    EXPECT_EQ(read_sealed(file.value().get()).value(), bytes);
    EXPECT_LT(::pwrite(file.value().get(), "x", 1, 0), 0);
    EXPECT_LT(::ftruncate(file.value().get(), 100), 0);
  }
}

}  // namespace
}  // namespace lanyard
