// SPDX-License-Identifier: MIT
#include "switch/runtime/frame_ring.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "switch/base/descriptor_passing.h"
#include "switch/frame/ethernet.h"
#include "switch/runtime/frame_rings.h"

namespace lanyard {
namespace {

using Bytes = std::vector<std::uint8_t>;
using Next = FrameRingReader::Next;
using Push = FrameRingWriter::Push;

constexpr std::size_t kHead = 4 + kVirtioHeaderSize;

// A pair as the two processes have it, mapped twice into this one.
class FrameRingTest : public ::testing::Test {
 protected:
  // The gateway's side of the switch's.
  FrameRingWriter& writer() { return gateway_.rings->outgoing(); }
  FrameRingReader& reader() { return ours_->incoming(); }

  Push push(const Bytes& frame) {
    iovec bytes{const_cast<std::uint8_t*>(frame.data()), frame.size()};
    return writer().push({}, {&bytes, 1}, frame.size());
  }
  Bytes pop() {
    FrameRingReader::Record record;
    if (reader().next(record) != Next::record) return {};
    Bytes bytes(record.frame().begin(), record.frame().end());
    reader().release();
    return bytes;
  }
  std::size_t fill(std::size_t frame_size) {
    std::size_t count = 0;
    while (push(Bytes(frame_size, static_cast<std::uint8_t>(count))) == Push::done) ++count;
    return count;
  }

  struct Gateway {
    explicit Gateway(const FrameRings& theirs);
    std::unique_ptr<FrameRings> rings;
  };

  std::unique_ptr<FrameRings> ours_ = FrameRings::make().take();
  Gateway gateway_{*ours_};
};

FrameRingTest::Gateway::Gateway(const FrameRings& theirs) {
  std::array<int, 2> ends{};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
  const UniqueFd one(ends[0]);
  const UniqueFd other(ends[1]);
  EXPECT_TRUE(theirs.offer(one.get()).ok());
  auto offer = receive_with_descriptor(other.get(), 64).take();
  rings = FrameRings::accept(offer->bytes, std::move(offer->descriptor)).take();
}

TEST_F(FrameRingTest, IsReadOnceItIsPublished) {
  EXPECT_EQ(push({1, 2, 3}), Push::done);
  EXPECT_TRUE(pop().empty());
  writer().publish();
  EXPECT_EQ(pop(), (Bytes{1, 2, 3}));
  EXPECT_TRUE(pop().empty());
}

TEST_F(FrameRingTest, CarriesTheHeaderAndGathersTheParts) {
  VirtioHeader header{};
  header[0] = 1;
  header[11] = 9;
  Bytes first{1, 2};
  Bytes second{3};
  const std::array parts{iovec{first.data(), first.size()}, iovec{second.data(), second.size()}};
  EXPECT_EQ(writer().push(header, parts, 3), Push::done);
  writer().publish();
  FrameRingReader::Record record;
  ASSERT_EQ(reader().next(record), Next::record);
  EXPECT_TRUE(std::equal(header.begin(), header.end(), record.header().begin()));
  EXPECT_EQ(Bytes(record.frame().begin(), record.frame().end()), (Bytes{1, 2, 3}));
}

TEST_F(FrameRingTest, FramesOfAnySizeComeOutAsTheyWentInRoundAfterRound) {
  std::minstd_rand random(7);
  std::deque<Bytes> sent;
  std::size_t carried = 0;
  while (carried < 20 * FrameRings::kToSwitch) {
    Bytes frame(random() % (random() % 8 == 0 ? kMaxFrameSize + 1 : 1515));
    for (std::uint8_t& byte : frame) byte = static_cast<std::uint8_t>(random());
    while (push(frame) == Push::full) {
      writer().publish();
      ASSERT_EQ(pop(), sent.front());
      sent.pop_front();
    }
    carried += frame.size();
    sent.push_back(std::move(frame));
    if (random() % 4 == 0) writer().publish();
  }
  writer().publish();
  for (; !sent.empty(); sent.pop_front()) ASSERT_EQ(pop(), sent.front());
}

TEST_F(FrameRingTest, AFullRingHasRoomAgainAfterARelease) {
  const std::size_t count = fill(1514);
  EXPECT_EQ(count, FrameRings::kToSwitch / 1536);
  writer().publish();
  EXPECT_FALSE(writer().wait_for_room());
  FrameRingReader::Record record;
  ASSERT_EQ(reader().next(record), Next::record);
  EXPECT_EQ(push(Bytes(1514)), Push::full) << "it is still being looked at";
  EXPECT_TRUE(reader().release()) << "the writer waits";
  EXPECT_FALSE(reader().release()) << "and has been woken";
  EXPECT_EQ(push(Bytes(1514)), Push::done);
}

TEST_F(FrameRingTest, WhoWaitsIsNotToldOfRoomThatCameBefore) {
  fill(1514);
  writer().publish();
  pop();
  EXPECT_EQ(push(Bytes(1514)), Push::done);
  EXPECT_EQ(push(Bytes(1514)), Push::full);
  pop();
  EXPECT_TRUE(writer().wait_for_room()) << "looked before it slept";
  FrameRingReader::Record record;
  ASSERT_EQ(reader().next(record), Next::record);
  EXPECT_FALSE(reader().release());
}

TEST_F(FrameRingTest, OnlyAReaderThatSleepsIsWoken) {
  push({1});
  EXPECT_TRUE(writer().publish()) << "nobody has looked yet";
  push({2});
  EXPECT_FALSE(writer().publish());
  EXPECT_FALSE(reader().sleep()) << "there is something";
  pop();
  pop();
  EXPECT_TRUE(reader().sleep());
  EXPECT_FALSE(writer().publish()) << "with nothing new";
  push({3});
  EXPECT_TRUE(writer().publish());
}

// ---- a writer that lies ----

class LyingWriterTest : public FrameRingTest {
 protected:
  // What the gateway can reach: the counters of its ring, and the bytes behind them.
  LyingWriterTest() {
    push(Bytes(100));
    writer().publish();
    FrameRingReader::Record record;
    FrameRingReader look = gateway_.rings->unread();
    EXPECT_EQ(look.next(record), Next::record);
    bytes_ = record.frame().data() - kHead;
  }
  void set_size(std::uint32_t size) { std::memcpy(bytes_, &size, sizeof size); }
  Next look() {
    FrameRingReader::Record record;
    return reader().next(record);
  }
  std::uint8_t* bytes_ = nullptr;
};

TEST_F(LyingWriterTest, SizesThatCannotBe) {
  for (const std::uint32_t size : {101U + 12, 1000U, static_cast<std::uint32_t>(kMaxFrameSize) + 1,
                                   0x7fffffffU, 0xfffffff0U, 0xffffffffU}) {
    set_size(size);
    EXPECT_EQ(look(), Next::damaged) << size;
  }
  set_size(100);
  EXPECT_EQ(look(), Next::record);
}

TEST(FrameRingView, CountersThatCannotBe) {
  FrameRingControl control{};
  std::vector<std::uint8_t> bytes(2 * 4096);
  const FrameRingView view{&control, bytes.data(), 4096};
  for (const std::uint64_t written :
       {std::uint64_t{4096 + 16}, std::uint64_t{17}, ~std::uint64_t{0}, ~std::uint64_t{15}}) {
    control.written = written;
    FrameRingReader reader(view);
    FrameRingReader::Record record;
    EXPECT_EQ(reader.next(record), Next::damaged) << written;
  }
  for (const std::uint64_t read : {std::uint64_t{16}, ~std::uint64_t{0}, std::uint64_t{1} << 63}) {
    control.read = 0;
    FrameRingWriter writer(view);
    Bytes frame(1500);
    const iovec part{frame.data(), frame.size()};
    while (writer.push({}, {&part, 1}, frame.size()) == Push::done) {
    }
    control.read = read;
    EXPECT_FALSE(writer.wait_for_room() && writer.push({}, {&part, 1}, 1500) == Push::done);
    EXPECT_EQ(writer.push({}, {&part, 1}, frame.size()), Push::damaged) << read;
  }
}

TEST(FrameRingView, WithoutMemoryAFrameIsNotWritten) {
  FrameRingControl control{};
  std::vector<std::uint8_t> bytes(2 * 4096);
  std::size_t allowed = 1000;
  FrameRingWriter writer({&control, bytes.data(), 4096},
                         [&](std::size_t wanted) { return wanted <= allowed; });
  Bytes frame(900);
  const iovec part{frame.data(), frame.size()};
  EXPECT_EQ(writer.push({}, {&part, 1}, 900), Push::done);
  EXPECT_EQ(writer.push({}, {&part, 1}, 900), Push::no_memory);
  allowed = 4096;
  EXPECT_EQ(writer.push({}, {&part, 1}, 900), Push::done);
}

// ---- the pair ----

TEST(FrameRings, WhatIsNoOfferIsRefused) {
  const UniqueFd file(::memfd_create("test", MFD_CLOEXEC));
  const auto refused = [&](std::string_view offer) {
    const auto rings = FrameRings::accept(offer, UniqueFd(::dup(file.get())));
    return !rings && rings.error().code == EBADMSG;
  };
  EXPECT_TRUE(refused(""));
  EXPECT_TRUE(refused(std::string(24, '\0')));
  std::string right("LYRINGS1");
  for (const std::uint64_t size :
       {std::uint64_t{FrameRings::kToGateway}, std::uint64_t{FrameRings::kToSwitch}}) {
    right.append(reinterpret_cast<const char*>(&size), sizeof size);
  }
  EXPECT_TRUE(refused(right)) << "the file is too short";
  EXPECT_FALSE(FrameRings::accept(right, UniqueFd()).ok());
}

TEST_F(FrameRingTest, ItsFileKeepsItsLength) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
  const UniqueFd one(ends[0]);
  const UniqueFd other(ends[1]);
  ASSERT_TRUE(ours_->offer(one.get()).ok());
  auto offer = receive_with_descriptor(other.get(), 64).take();
  EXPECT_EQ(::ftruncate(offer->descriptor.get(), 0), -1);
  EXPECT_EQ(errno, EPERM);
}

TEST_F(FrameRingTest, TheSwitchSeesThatItHasBeenLeft) {
  EXPECT_FALSE(ours_->is_left());
  gateway_.rings->leave();
  EXPECT_TRUE(ours_->is_left());
}

}  // namespace
}  // namespace lanyard
