// SPDX-License-Identifier: MIT
//
// What guests may send into the NAT engine: the only way from a guest's bytes to libslirp.
//
// What makes it necessary: libslirp 4.7 trusts its guest. Its reassembly of IPv4 fragments, its
// urgent pointers, NC-SI and TFTP each had memory errors, two of them without a fix in Debian 12;
// any address of the IPv6 prefix means the host's loopback to it. So whatever passes here is plain:
// Ethernet, an IP header without options or extensions, TCP without options and urgent data, or
// UDP; every length fits in every other, checksums are right, and the source is an address of the
// network. TCP options are taken off, which is right because the engine speaks none but the MSS
// (and that one is read here). Work that the sender left undone (Offload) is done here.
// Changes frames in place. Gateway thread only.
#pragma once

#include <optional>
#include <span>

#include "backend/gateway/nat_counters.h"
#include "backend/gateway/nat_packet.h"
#include "switch/frame/offload.h"

namespace lanyard {

class FrameSanitiser {
 public:
  FrameSanitiser(std::optional<Ipv4Prefix> subnet, std::optional<Ipv6Prefix> subnet6,
                 NatCounters& counters)
      : subnet_(subnet), subnet6_(subnet6), counters_(counters) {}

  // A frame that does not pass is counted. `frame` must be good as long as the packet is used.
  std::optional<NatPacket> check(std::span<std::uint8_t> frame, const Offload& offload) {
    auto packet = read(frame, offload);
    if (packet) make_plain(*packet);
    return packet;
  }
  // The same in two steps: what is checked, with options and debts as they came, and what libslirp
  // wants, once.
  std::optional<NatPacket> read(std::span<std::uint8_t> frame, const Offload& offload);
  static void make_plain(NatPacket& packet);

 private:
  std::optional<NatPacket> drop(NatEvent reason);
  bool read_ipv4(NatPacket& packet, NatEvent& reason) const;
  bool read_ipv6(NatPacket& packet, NatEvent& reason) const;
  bool read_tcp(NatPacket& packet, NatEvent& reason);
  bool read_udp(NatPacket& packet, NatEvent& reason) const;

  std::optional<Ipv4Prefix> subnet_;
  std::optional<Ipv6Prefix> subnet6_;
  NatCounters& counters_;
};

}  // namespace lanyard
