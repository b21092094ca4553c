// SPDX-License-Identifier: MIT
//
// A guest that sends any segments at all to a connection of the direct TCP engine, while the host
// and time go on: the host gets the guest's bytes in order or none, nothing is sent that was not
// read, and nothing is held when it is over.
#include "backend/gateway/tcp_flow.h"

#include <iterator>

#include "tests/fuzz/input.h"
#include "tests/support/tcp_flow_world.h"

namespace lanyard::fuzz {
namespace {

using namespace lanyard::testing;

// Numbers around those that mean something, and any others.
std::uint32_t number_near(Input& input, std::uint32_t around) {
  const std::uint8_t how = input.byte();
  if (how < 100) return around;
  if (how < 200) return around + static_cast<std::uint32_t>(static_cast<std::int8_t>(input.byte()));
  if (how < 230) return around + input.word();
  return std::uint32_t{input.word()} << 16 | input.word();
}

// Bytes depend on their place, so whatever a segment overlaps, it says the same.
Wire any_segment(Input& input, const FlowWorld& world) {
  constexpr std::size_t kSizes[] = {0, 0, 1, 2, 100, 1460, 9000, 60000};
  constexpr std::uint8_t kFlags[] = {kTcpAck,           kTcpAck,           kTcpAck | kTcpPsh,
                                     kTcpAck | kTcpFin, kTcpSyn,           kTcpRst,
                                     kTcpSyn | kTcpAck, kTcpRst | kTcpAck, 0};
  Wire wire;
  wire.sequence = number_near(input, world.flow->receiver().next());
  wire.acknowledgement = number_near(input, world.flow->sender().next());
  wire.window = input.word();
  wire.flags = kFlags[input.below(std::size(kFlags))];
  wire.payload.resize(kSizes[input.below(std::size(kSizes))]);
  for (std::size_t blocks = input.below(4); blocks != 0; --blocks) {
    const std::uint32_t begin = number_near(input, wire.acknowledgement);
    wire.sack.add({begin, number_near(input, begin)});
  }
  for (std::size_t i = 0; i < wire.payload.size(); ++i) {
    wire.payload[i] = byte_at(static_cast<std::uint32_t>(wire.sequence + i - kGuestFirst - 1));
  }
  return wire;
}

void step(Input& input, FlowWorld& world) {
  switch (input.below(9)) {
    case 0: world.flow->connected(); break;
    case 1: world.host_writes(input.word()); break;
    case 2: world.host_closes(); break;
    case 3:
      world.socket.room += input.word();
      world.flow->writable();
      break;
    case 4: world.link.room = !world.link.room; break;
    case 5: world.wait(); break;
    case 6: world.now += std::chrono::milliseconds(input.byte()); break;
    default: world.from_guest(any_segment(input, world)); return;  // a batch has many
  }
  world.settle();
  world.kept.clear();
}

void check(FlowWorld& world) {
  require(world.socket.received == bytes_from(0, world.socket.received.size()),
          "the host has the guest's bytes in order");
  require(world.flow->receiver().kept() <= TcpReceiver::kWindowMax + 65536,
          "no more is kept than was offered");
  require(world.flow->sender().in_flight() <= TcpSender::kInFlightMax + 2,
          "no more is under way than may be");
  for (const Wire& wire : world.link.take()) {
    const std::uint32_t place = wire.sequence - kOurFirst - 1;
    require(wire.payload.empty() || place + wire.payload.size() <= world.socket.given,
            "only what was read is sent");
    require(wire.payload == bytes_from(place, wire.payload.size()),
            "the guest is sent the host's bytes");
  }
}

}  // namespace
}  // namespace lanyard::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lanyard::fuzz;
  Input input({data, size});
  const auto options = lanyard::read_tcp_options(input.bytes(input.below(41)));
  auto opening = lanyard::testing::opening_of();
  opening.options = options;
  FlowWorld world(opening);
  world.socket.room = input.word();
  while (!input.empty()) {
    step(input, world);
    check(world);
  }
  world.settle();
  check(world);
  world.flow.reset();
  require(world.memory.used() == 0 && world.memory.granted() == 0, "nothing is held");
  return 0;
}
