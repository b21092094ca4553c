// SPDX-License-Identifier: MIT
//
// Frames as a guest may send them to a gateway: all readers of packets, over exactly the bytes
// there are.
#include "backend/gateway/packet.h"

#include "tests/fuzz/input.h"

namespace lanyard::fuzz {
namespace {

bool within(std::span<const std::uint8_t> inner, std::span<const std::uint8_t> outer) {
  return inner.empty() || (inner.data() >= outer.data() &&
                           inner.data() + inner.size() <= outer.data() + outer.size());
}

void read_transport(const Packet& packet, bool owed) {
  const Reading<UdpView> udp = read_udp(packet, owed);
  if (udp) require(within(udp.value.payload, packet.payload), "a datagram lies in its packet");
  const Reading<IcmpView> icmp = read_icmp(packet, owed);
  if (!icmp) return;
  require(within(icmp.value.message, packet.payload), "a message lies in its packet");
  if (packet.kind != Packet::Kind::ipv6) return;
  is_router_solicitation(packet, icmp.value);
  const Reading<NeighbourMessage> nd = read_neighbour(packet, icmp.value);
  if (nd) {
    require(!nd.value.target.is_multicast(), "a group is no neighbour");
    require(!nd.value.link_layer || !nd.value.link_layer->is_group(), "nor at a group address");
  }
}

}  // namespace
}  // namespace lanyard::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lanyard;
  using namespace lanyard::fuzz;
  // A copy of exactly this size: a read past its end is caught.
  const PacketBytes frame(data, data + size);
  const Packet packet = read_packet(frame);
  require(!name_of(packet.fault).empty(), "every fault has a name");
  if (packet.fault != PacketFault::none || !packet.is_ip()) return 0;
  require(within(packet.network, frame), "a packet lies in its frame");
  require(within(packet.payload, packet.network), "a payload lies in its packet");
  require(packet.from.is_v4() == (packet.kind == Packet::Kind::ipv4), "addresses are of its kind");
  read_transport(packet, true);
  read_transport(packet, false);
  return 0;
}
