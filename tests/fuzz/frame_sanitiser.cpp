// SPDX-License-Identifier: MIT
//
// Frames of guests on their way to the NAT engine. What passes is as plain as the engine needs it,
// whatever came: this is the list of what is relied on behind it.
#include "backend/gateway/frame_sanitiser.h"

#include <vector>

#include "tests/fuzz/input.h"

namespace lanyard::fuzz {
namespace {

void check_packet(const NatPacket& packet, const std::vector<std::uint8_t>& buffer) {
  const auto frame = packet.frame;
  require(
      frame.data() >= buffer.data() && frame.data() + frame.size() <= buffer.data() + buffer.size(),
      "the packet lies within the frame");
  const auto ip = frame.subspan(kIpOffset);
  const std::size_t header = packet.v6 ? kIpv6HeaderSize : kIpv4HeaderSize;
  require(ip[0] == (packet.v6 ? ip[0] & 0x6f : 0x45), "version and header length");
  require((packet.v6 ? load_u16(ip, 4) + kIpv6HeaderSize : load_u16(ip, 2)) == ip.size(),
          "the IP length is the frame's");
  require(packet.transport_offset == kIpOffset + header, "nothing between IP and transport");
  require(packet.payload_offset <= frame.size(), "the transport header is whole");
  if (!packet.v6) {
    require(internet_checksum(ip.first(header)) == 0, "the IP checksum is right");
    require((load_u16(ip, 6) & 0x3fff) == 0, "no fragment");
  }
  const auto transport = frame.subspan(packet.transport_offset);
  InternetChecksum sum = pseudo_header(frame, packet.v6, packet.key.protocol, transport.size());
  sum.add(transport);
  require(sum.finish() == 0, "the transport checksum is right");
  require(load_u16(transport, 0) == packet.key.guest_port, "the guest's port");
  require(load_u16(transport, 2) == packet.key.target_port, "the target's port");
  if (packet.is_tcp()) {
    require(packet.payload_offset - packet.transport_offset == kTcpHeaderSize, "no TCP options");
    require((transport[13] & kTcpUrg) == 0 && load_u16(transport, 18) == 0, "nothing is urgent");
    require(transport[13] == packet.flags, "the flags");
  } else {
    require(packet.key.protocol == kIpProtocolUdp, "TCP or UDP");
    require(load_u16(transport, 4) == transport.size(), "the UDP length");
  }
}

}  // namespace
}  // namespace lanyard::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lanyard;
  fuzz::Input input({data, size});
  Offload offload;
  offload.needs_checksum = (input.byte() & 1) != 0;
  const auto rest = input.rest();
  std::vector<std::uint8_t> frame(rest.begin(), rest.end());
  NatCounters counters;
  FrameSanitiser sanitiser(Ipv4Prefix::parse("10.0.2.0/24"), Ipv6Prefix::parse("fd00:2::/64"),
                           counters);
  const auto packet = sanitiser.check(frame, offload);
  if (!packet) return 0;
  fuzz::check_packet(*packet, frame);
  std::vector<std::uint8_t> again(packet->frame.begin(), packet->frame.end());
  const auto second = sanitiser.check(again, {});
  fuzz::require(second.has_value(), "what has passed passes again");
  fuzz::require(std::equal(again.begin(), again.end(), packet->frame.begin()),
                "and is not changed any more");
  return 0;
}
