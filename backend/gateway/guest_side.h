// SPDX-License-Identifier: MIT
//
// The GuestLink over the frame socket: what services say becomes frames here, cut to the MTU of the
// network and with all checksums made. Gateway thread only.
#pragma once

#include <cstdint>
#include <span>

#include "backend/gateway/frame_channel.h"
#include "backend/gateway/guest_link.h"
#include "backend/gateway/packet.h"

namespace lanyard {

class GuestSide final : public GuestLink {
 public:
  GuestSide(FrameChannel& channel, MacAddress mac) : channel_(channel), mac_(mac) {}

  // Not below what every IPv4 host takes (RFC 791 3.1).
  void set_mtu(std::uint32_t mtu) { mtu_ = mtu < 576 ? 576 : mtu; }
  MacAddress mac() const { return mac_; }

  void send_udp(const GuestDatagram& datagram) override;
  void send_arp_request(Ipv4Address sender, Ipv4Address target) override;
  void send_icmp6(MacAddress to, const Ipv6Address& source, const Ipv6Address& destination,
                  std::span<const std::uint8_t> body) override;
  void send_frame(std::span<const std::uint8_t> frame, const Offload& offload) override {
    channel_.send(frame, offload);
  }
  bool has_room() const override { return channel_.has_room(); }

  void send_arp(MacAddress to, const ArpMessage& message);
  // Any transport message, its checksum made; of either family.
  void send_ip(MacAddress to, const IpAddress& source, const IpAddress& destination,
               std::uint8_t protocol, std::uint8_t hop_limit,
               std::span<const std::uint8_t> payload);

 private:
  void send_ipv4(MacAddress to, Ipv4Fields fields, std::span<const std::uint8_t> payload);
  void send_ipv6(MacAddress to, Ipv6Fields fields, std::span<const std::uint8_t> payload);

  FrameChannel& channel_;
  MacAddress mac_;
  std::uint32_t mtu_ = 1500;
  std::uint16_t identification4_ = 0;
  std::uint32_t identification6_ = 0;
  PacketBytes message_;  // reused: nothing is allocated for an answer
  PacketBytes frame_;
};

}  // namespace lanyard
