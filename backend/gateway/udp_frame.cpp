// SPDX-License-Identifier: MIT
#include "backend/gateway/udp_frame.h"

#include <algorithm>

namespace lanyard {
namespace {

constexpr std::uint8_t kHopLimit = 64;
constexpr std::uint16_t kDoNotFragment = 0x4000;
constexpr std::size_t kChecksumOffset = 6;

void put(std::span<std::uint8_t> frame, std::size_t at, std::span<const std::uint8_t> bytes) {
  std::copy(bytes.begin(), bytes.end(), frame.begin() + static_cast<std::ptrdiff_t>(at));
}

void write_ip(std::span<std::uint8_t> frame, const UdpFrameFields& fields, bool fits) {
  const auto ip = frame.subspan(kIpOffset);
  if (fields.v6) {
    put(ip, 0, std::array<std::uint8_t, 4>{0x60, 0, 0, 0});
    store_u16(ip, 4, static_cast<std::uint16_t>(ip.size() - kIpv6HeaderSize));
    ip[6] = kIpProtocolUdp;
    ip[7] = kHopLimit;
    put(ip, 8, fields.key.target);
    put(ip, 24, fields.key.guest);
    return;
  }
  ip[0] = 0x45;
  ip[1] = 0;
  store_u16(ip, 2, static_cast<std::uint16_t>(ip.size()));
  // What is not fragmented needs no identification (RFC 6864 4.1).
  store_u16(ip, 4, fits ? std::uint16_t{0} : fields.identification);
  store_u16(ip, 6, fits ? kDoNotFragment : std::uint16_t{0});
  ip[8] = kHopLimit;
  ip[9] = kIpProtocolUdp;
  store_u16(ip, 10, 0);
  put(ip, 12, std::span(fields.key.target).last(4));
  put(ip, 16, std::span(fields.key.guest).last(4));
  store_u16(ip, 10, internet_checksum(ip.first(kIpv4HeaderSize)));
}

}  // namespace

Offload write_udp_headers(std::span<std::uint8_t> frame, const UdpFrameFields& fields) {
  const std::size_t header_size = udp_header_size(fields.v6);
  const std::size_t transport = header_size - kUdpHeaderSize;
  const bool cut = fields.segment_size != 0 && frame.size() - header_size > fields.segment_size;
  const std::size_t longest = cut ? header_size + fields.segment_size : frame.size();
  const bool fits = longest <= kIpOffset + fields.mtu;
  put(frame, 0, fields.to.bytes());
  put(frame, 6, fields.from.bytes());
  store_u16(frame, 12, fields.v6 ? 0x86dd : 0x0800);
  write_ip(frame, fields, fits);
  const auto udp = frame.subspan(transport);
  store_u16(udp, 0, fields.key.target_port);
  store_u16(udp, 2, fields.key.guest_port);
  store_u16(udp, 4, static_cast<std::uint16_t>(udp.size()));
  InternetChecksum sum = pseudo_header(frame, fields.v6, kIpProtocolUdp, udp.size());
  Offload offload;
  if (!fits) {
    store_u16(udp, kChecksumOffset, 0);
    sum.add(udp);
    // Zero would say that there is none (RFC 768).
    const std::uint16_t checksum = sum.finish();
    store_u16(udp, kChecksumOffset, checksum == 0 ? std::uint16_t{0xffff} : checksum);
    return offload;
  }
  store_u16(udp, kChecksumOffset, sum.sum());
  offload.needs_checksum = true;
  offload.checksum_start = static_cast<std::uint16_t>(transport);
  offload.checksum_offset = kChecksumOffset;
  if (cut) {
    offload.segmentation = Offload::Segmentation::udp;
    offload.segment_size = static_cast<std::uint16_t>(fields.segment_size);
    offload.header_size = static_cast<std::uint16_t>(header_size);
  }
  return offload;
}

}  // namespace lanyard
