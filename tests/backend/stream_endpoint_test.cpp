// SPDX-License-Identifier: MIT
//
// Frames on a byte stream: in any pieces, at any pace, in both directions.
#include "backend/stream_endpoint.h"

#include <gtest/gtest.h>

#include "tests/support/lane_fixture.h"

namespace lanyard {
namespace {

using testing::Bytes;
using testing::Cable;
using testing::frame;
using testing::kAlice;
using testing::kBob;
using testing::LaneFixture;
using testing::SocketPair;
using testing::WireFrame;

Bytes streamed(const WireFrame& wire) {
  Bytes bytes{static_cast<std::uint8_t>(wire.bytes.size() >> 8),
              static_cast<std::uint8_t>(wire.bytes.size() & 0xff)};
  bytes.insert(bytes.end(), wire.bytes.begin(), wire.bytes.end());
  return bytes;
}

TEST(StreamReader, TakesFramesInAnyPieces) {
  const WireFrame first = frame().from(kAlice).to(kBob).size(60);
  const WireFrame second = frame().from(kBob).to(kAlice).size(1514);
  Bytes all = streamed(first);
  for (const std::uint8_t byte : streamed(second)) all.push_back(byte);
  for (std::size_t piece = 1; piece < all.size(); piece += 7) {
    StreamReader reader;
    std::vector<Bytes> got;
    for (std::size_t at = 0; at < all.size(); at += piece) {
      const std::size_t count = std::min(piece, all.size() - at);
      std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(at), count, reader.room().begin());
      reader.added(count);
      while (const auto bytes = reader.next()) got.emplace_back(bytes->begin(), bytes->end());
    }
    ASSERT_EQ(got.size(), 2U) << "pieces of " << piece;
    EXPECT_EQ(got[0], first.bytes);
    EXPECT_EQ(got[1], second.bytes);
  }
}

TEST(StreamReader, SkipsWhatIsEmptyAndWaitsForWhatIsLong) {
  StreamReader reader;
  const Bytes bytes{0, 0, 0xff, 0xff, 1};
  std::copy(bytes.begin(), bytes.end(), reader.room().begin());
  reader.added(bytes.size());
  EXPECT_FALSE(reader.next().has_value());
  const auto rest = reader.room();
  ASSERT_GE(rest.size(), 65534U);
  reader.added(65534);
  const auto frame = reader.next();
  ASSERT_TRUE(frame.has_value());
  EXPECT_EQ(frame->size(), 65535U);
  EXPECT_EQ((*frame)[0], 1);
}

class StreamEndpointTest : public ::testing::Test, protected LaneFixture {
 protected:
  // One stream for both directions; the returned end is the other side's.
  UniqueFd plug_stream() {
    SocketPair pair(SOCK_STREAM);
    UniqueFd output(::dup(pair.ours.get()));
    auto endpoint = std::make_unique<StreamEndpoint>(
        std::move(pair.ours), std::move(output), StreamEndpoint::Settings{"stream"}, *loop, pool);
    EXPECT_TRUE(plug(std::move(endpoint)).ok());
    return std::move(pair.theirs);
  }
};

TEST_F(StreamEndpointTest, CarriesFramesBothWays) {
  const UniqueFd stream = plug_stream();
  Plug* guest = nullptr;
  const std::shared_ptr<Cable> cable = plug_memory(&guest);
  const Bytes in = streamed(frame().from(kAlice).to(kBob).size(1514));
  ASSERT_EQ(::write(stream.get(), in.data(), in.size()), static_cast<ssize_t>(in.size()));
  ASSERT_TRUE(until([&] { return cable->from_switch.size() == 1; }));
  EXPECT_EQ(streamed(cable->from_switch[0]), in);

  const WireFrame back = frame().from(kBob).to(kAlice).size(60);
  cable->to_switch.push_back(back);
  lane.wake(*guest);
  Bytes got(streamed(back).size());
  ASSERT_TRUE(until([&] {
    return ::recv(stream.get(), got.data(), got.size(), MSG_PEEK | MSG_DONTWAIT) ==
           static_cast<ssize_t>(got.size());
  }));
  ::recv(stream.get(), got.data(), got.size(), 0);
  EXPECT_EQ(got, streamed(back));
}

TEST_F(StreamEndpointTest, AReaderThatLagsLosesWholeFramesByName) {
  const UniqueFd stream = plug_stream();
  Plug* guest = nullptr;
  const std::shared_ptr<Cable> cable = plug_memory(&guest);
  constexpr std::size_t kSent = 4000;
  for (std::size_t i = 0; i < kSent; ++i) {
    cable->to_switch.push_back(frame().from(kBob).to(kAlice).size(1000));
  }
  lane.wake(*guest);
  const PortCounters& counters = bridge.port(1)->counters;
  ASSERT_TRUE(until([&] { return counters.offered == kSent; }));
  const std::uint64_t lost = counters.drops.of(Drop::queue_full);
  EXPECT_GT(lost, 0U);
  EXPECT_EQ(counters.transmitted + lost, kSent);
  // All others come, whole and in order.
  std::size_t bytes = 0;
  Bytes got(65536);
  ASSERT_TRUE(until([&] {
    // All there is: with less taken the stream may not become writable.
    ssize_t count = 0;
    while ((count = ::recv(stream.get(), got.data(), got.size(), MSG_DONTWAIT)) > 0) {
      bytes += static_cast<std::size_t>(count);
    }
    return bytes == counters.transmitted * 1002;
  }));
}

TEST_F(StreamEndpointTest, EndsWithTheStream) {
  UniqueFd stream = plug_stream();
  stream.reset();
  EXPECT_TRUE(until([&] { return !bridge.port(1)->active(); }));
}

}  // namespace
}  // namespace lanyard
