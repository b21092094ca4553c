// SPDX-License-Identifier: MIT
//
// The switch's end of a gateway's frame socket; the tests hold the gateway's end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "switch/frame/virtio_header.h"
#include "switch/runtime/backend.h"
#include "tests/support/lane_fixture.h"
#include "tests/support/large_packet.h"

namespace lanyard {
namespace {

using testing::Cable;
using testing::frame;
using testing::kAlice;
using testing::kBob;
using testing::LaneFixture;
using testing::LargePacket;
using testing::SocketPair;
using testing::WireFrame;

class GatewayBackendTest : public ::testing::Test, protected LaneFixture {
 protected:
  GatewayBackendTest() { register_builtin_backends(registry_); }

  Result<void> open(const std::string& url) {
    return registry_.open(BackendOptions::parse(url).take(), lane);
  }
  // Plugs in a gateway and returns its own end.
  UniqueFd open_gateway(const std::string& keys = "") {
    SocketPair pair(SOCK_SEQPACKET);
    const Result<void> done = open(fmt::format("gateway://{}{}", pair.ours.release(), keys));
    EXPECT_TRUE(done.ok()) << done.error().text;
    return std::move(pair.theirs);
  }
  static void send_message(int fd, const VirtioHeader& header, const WireFrame& wire) {
    testing::Bytes message(header.begin(), header.end());
    message.insert(message.end(), wire.bytes.begin(), wire.bytes.end());
    EXPECT_TRUE(testing::send_frame(fd, WireFrame{message}));
  }

  BackendRegistry registry_;
};

WireFrame to_bob(std::size_t size = 60) {
  return frame().from(kAlice).to(kBob).size(size);
}

// TCP from Alice to Bob.
LargePacket large_packet() {
  LargePacket packet;
  packet.payload = 40'000;
  return packet;
}

TEST_F(GatewayBackendTest, CarriesFramesBehindAHeader) {
  const UniqueFd gateway = open_gateway();
  const std::shared_ptr<Cable> guest = plug_memory();
  for (int i = 0; i < 3; ++i) send_message(gateway.get(), {}, to_bob());
  ASSERT_TRUE(until([&] { return guest->from_switch.size() == 3; }));
  EXPECT_EQ(guest->from_switch[2].bytes, to_bob().bytes);

  for (int i = 0; i < 3; ++i) guest->to_switch.push_back(to_bob(1514));
  Plug* const plug = bridge.port(2)->plugs().front().get();
  lane.wake(*plug);
  std::vector<WireFrame> got;
  ASSERT_TRUE(until([&] {
    for (WireFrame& wire : testing::receive_frames(gateway.get())) got.push_back(std::move(wire));
    return got.size() == 3;
  }));
  ASSERT_EQ(got[0].bytes.size(), kVirtioHeaderSize + 1514);
  EXPECT_EQ(testing::Bytes(got[0].bytes.begin() + kVirtioHeaderSize, got[0].bytes.end()),
            to_bob(1514).bytes);
}

TEST_F(GatewayBackendTest, PassesOnWhatAFrameOwes) {
  const UniqueFd first = open_gateway();
  const UniqueFd second = open_gateway();
  const WireFrame large = large_packet().wire();
  const VirtioHeader header = make_virtio_header(large.offload);
  send_message(first.get(), header, large);
  std::vector<WireFrame> got;
  ASSERT_TRUE(until([&] {
    got = testing::receive_frames(second.get());
    return !got.empty();
  }));
  ASSERT_EQ(got[0].bytes.size(), kVirtioHeaderSize + large.bytes.size());
  EXPECT_TRUE(std::equal(header.begin(), header.end(), got[0].bytes.begin()));
}

TEST_F(GatewayBackendTest, LiesAndRuntsAreCounted) {
  const UniqueFd gateway = open_gateway();
  plug_memory();
  send_message(gateway.get(), make_virtio_header(large_packet().offload()),
               to_bob(53));  // no room for headers
  testing::send_frame(gateway.get(), WireFrame{testing::Bytes(5)});
  testing::send_frame(gateway.get(), WireFrame{testing::Bytes(kVirtioHeaderSize + 3)});
  send_message(gateway.get(), {}, to_bob(kMaxFrameSize + 1));
  const DropCounters& drops = bridge.port(1)->counters.drops;
  ASSERT_TRUE(until([&] { return drops.incoming() == 4; }));
  EXPECT_EQ(drops.of(Drop::malformed_offload), 1U);
  EXPECT_EQ(drops.of(Drop::too_short), 2U);
  EXPECT_EQ(drops.of(Drop::too_long), 1U);
}

TEST_F(GatewayBackendTest, EndsWithTheGateway) {
  UniqueFd gateway = open_gateway("?port=7&name=lab");
  EXPECT_NE(bridge.port(7), nullptr);
  send_message(gateway.get(), {}, to_bob());
  gateway.reset();
  EXPECT_TRUE(until([&] { return bridge.port(7) == nullptr || bridge.port(7)->plugs().empty(); }));
}

TEST_F(GatewayBackendTest, RefusesWhatIsNoFrameSocket) {
  SocketPair stream(SOCK_STREAM);
  EXPECT_EQ(open(fmt::format("gateway://{}", stream.ours.get())).error().code, EPROTOTYPE);
  EXPECT_EQ(open("gateway://99999").error().code, EBADF);
  EXPECT_EQ(open("gateway://lab").error().code, EINVAL);
  EXPECT_EQ(open("gateway://").error().code, EINVAL);
  EXPECT_EQ(open("gateway://3?port=x").error().code, EINVAL);
  EXPECT_EQ(open("gateway://3?colour=red").error().code, EINVAL);
}

}  // namespace
}  // namespace lanyard
