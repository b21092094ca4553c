// SPDX-License-Identifier: MIT
//
// Segments in any order, with any flags, joined and not: both must mean the same to a receiver.
#include "backend/gateway/coalescer.h"

#include <algorithm>
#include <map>
#include <vector>

#include "backend/gateway/frame_sanitiser.h"
#include "tests/fuzz/input.h"

namespace lanyard::fuzz {
namespace {

using Frame = std::vector<std::uint8_t>;

constexpr std::uint32_t kFirstSequence = 0xfffff000;  // so that numbers wrap
// Segments may begin a little before what is next, each time.
constexpr std::uint32_t kBefore = 8192;

struct Stream {
  // By their place behind kFirstSequence - kBefore, plus one; 0: none.
  std::vector<std::uint16_t> bytes;
  std::uint32_t acknowledgement = 0;
  std::uint16_t window = 0;
  unsigned special = 0;
  friend bool operator==(const Stream&, const Stream&) = default;
};

class Receiver final : public Coalescer::Sink {
 public:
  void deliver(NatPacket& packet) override {
    const auto transport = packet.frame.subspan(packet.transport_offset);
    InternetChecksum sum =
        pseudo_header(packet.frame, packet.v6, packet.key.protocol, transport.size());
    sum.add(transport);
    require(sum.finish() == 0, "the checksum of what is delivered is right");
    require(load_u32(transport, 4) == packet.sequence, "the sequence number is the header's");
    Stream& stream = streams[packet.key.guest_port];
    const auto payload = packet.payload();
    const std::size_t at = packet.sequence - kFirstSequence + kBefore;
    require(at < (std::size_t{1} << 26), "the sequence number is one that was sent");
    if (!payload.empty()) {
      stream.bytes.resize(std::max(stream.bytes.size(), at + payload.size()));
    }
    for (std::size_t i = 0; i < payload.size(); ++i) {
      stream.bytes[at + i] = static_cast<std::uint16_t>(payload[i] + 1);
    }
    if ((packet.flags & ~(kTcpAck | kTcpPsh)) != 0) ++stream.special;
    stream.acknowledgement = packet.acknowledgement;
    stream.window = packet.window;
  }
  std::map<std::uint16_t, Stream> streams;
};

// Sizes that make odd sums and full segments; bytes depend on their place in the stream.
constexpr std::size_t kSizes[] = {0, 1, 2, 3, 100, 1460, 9000, 20000};

Frame segment(Input& input, std::map<std::uint16_t, std::uint32_t>& next) {
  const auto port = static_cast<std::uint16_t>(1 + input.below(3));
  const std::uint8_t what = input.byte();
  const std::size_t size = kSizes[what & 7];
  std::uint32_t sequence = next.try_emplace(port, kFirstSequence).first->second;
  if ((what & 0xc0) == 0xc0) sequence += static_cast<std::int8_t>(input.byte());
  Frame frame(kIpOffset + kIpv4HeaderSize + kTcpHeaderSize + size);
  frame[12] = 8;
  frame[14] = 0x45;
  frame[23] = kIpProtocolTcp;
  const std::uint8_t addresses[] = {10, 0, 2, 15, 192, 0, 2, 1};
  std::copy(std::begin(addresses), std::end(addresses), frame.begin() + 26);
  store_u16(frame, 34, port);
  store_u16(frame, 36, 80);
  store_u32(frame, 38, sequence);
  store_u32(frame, 42, (what & 0x20) != 0 ? input.byte() : std::uint8_t{1});
  frame[46] = 0x50;
  frame[47] = (what & 0x30) == 0x30 ? input.byte() : kTcpAck;
  store_u16(frame, 48, (what & 0x10) != 0 ? input.word() : std::uint16_t{65535});
  for (std::size_t i = 0; i < size; ++i) {
    frame[54 + i] = static_cast<std::uint8_t>((sequence + i) * 31U);
  }
  NatPacket packet;
  packet.frame = frame;
  packet.key.protocol = kIpProtocolTcp;
  packet.transport_offset = 34;
  packet.payload_offset = 54;
  InternetChecksum sum;
  sum.add(packet.payload());
  packet.payload_sum = sum.sum();
  finish_headers(packet);
  next[port] = sequence + static_cast<std::uint32_t>(size);
  return frame;
}

std::map<std::uint16_t, Stream> run(std::vector<Frame> frames, bool single) {
  Receiver receiver;
  NatCounters counters;
  Coalescer coalescer(receiver, counters);
  FrameSanitiser sanitiser(Ipv4Prefix::parse("10.0.2.0/24"), std::nullopt, counters);
  for (Frame& frame : frames) {
    if (auto packet = sanitiser.check(frame, {})) coalescer.add(*packet);
    if (single) coalescer.flush();
  }
  coalescer.flush();
  return std::move(receiver.streams);
}

}  // namespace
}  // namespace lanyard::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lanyard::fuzz;
  Input input({data, size});
  std::map<std::uint16_t, std::uint32_t> next;
  std::vector<Frame> frames;
  while (!input.empty() && frames.size() < 40) frames.push_back(segment(input, next));
  require(run(frames, false) == run(frames, true), "joined segments mean what single ones mean");
  return 0;
}
