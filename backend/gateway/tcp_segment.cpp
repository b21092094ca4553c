// SPDX-License-Identifier: MIT
#include "backend/gateway/tcp_segment.h"

#include <algorithm>
#include <array>

namespace lanyard {
namespace {

constexpr std::uint8_t kOptionEnd = 0;
constexpr std::uint8_t kOptionNop = 1;
constexpr std::uint8_t kOptionSegmentSize = 2;
constexpr std::uint8_t kOptionWindowShift = 3;
constexpr std::uint8_t kOptionSackPermitted = 4;
constexpr std::uint8_t kOptionSack = 5;
constexpr std::uint8_t kWindowShiftMax = 14;  // RFC 7323 2.3
constexpr std::size_t kSackBlockSize = 8;
constexpr std::size_t kOptionsMax = 4 + kSackBlockSize * TcpSack::kBlocksMax;  // of those sent here
constexpr std::uint8_t kHopLimit = 64;
constexpr std::uint16_t kTcpChecksumOffset = 16;

static_assert(kTcpHeadroom >= kIpOffset + kIpv6HeaderSize + kTcpHeaderSize + kOptionsMax);

std::size_t put_sack(const TcpSack& sack, std::array<std::uint8_t, kOptionsMax>& to) {
  to[0] = kOptionNop;
  to[1] = kOptionNop;
  to[2] = kOptionSack;
  std::size_t size = 4;
  for (const TcpRange& block : sack.blocks()) {
    store_u32(to, size, block.begin);
    store_u32(to, size + 4, block.end);
    size += kSackBlockSize;
  }
  to[3] = static_cast<std::uint8_t>(size - 2);
  return size;
}

std::size_t put_options(const TcpOptions& options, std::array<std::uint8_t, kOptionsMax>& to) {
  std::size_t size = 0;
  if (options.segment_size != 0) {
    to[0] = kOptionSegmentSize;
    to[1] = 4;
    store_u16(to, 2, options.segment_size);
    size = 4;
  }
  if (options.window_shift) {
    to[size] = kOptionNop;
    to[size + 1] = kOptionWindowShift;
    to[size + 2] = 3;
    to[size + 3] = *options.window_shift;
    size += 4;
  }
  if (options.sack_permitted) {
    to[size] = kOptionNop;
    to[size + 1] = kOptionNop;
    to[size + 2] = kOptionSackPermitted;
    to[size + 3] = 2;
    size += 4;
  }
  return size;
}

// Calls `use` with each option, as far as they are whole.
template <typename Use>
void for_each_option(std::span<const std::uint8_t> options, Use use) {
  while (!options.empty() && options[0] != kOptionEnd) {
    if (options[0] == kOptionNop) {
      options = options.subspan(1);
      continue;
    }
    if (options.size() < 2 || options[1] < 2 || options[1] > options.size()) break;
    use(options.first(options[1]));
    options = options.subspan(options[1]);
  }
}

void put(std::span<std::uint8_t> frame, std::size_t at, std::span<const std::uint8_t> bytes) {
  std::copy(bytes.begin(), bytes.end(), frame.begin() + static_cast<std::ptrdiff_t>(at));
}

void put_ip_header(const TcpPath& path, std::span<std::uint8_t> frame, std::size_t tcp_size) {
  const auto source = std::span(path.key.target);
  const auto destination = std::span(path.key.guest);
  const auto ip = frame.subspan(kIpOffset);
  if (path.v6) {
    std::fill_n(ip.begin(), 8, std::uint8_t{0});
    ip[0] = 0x60;
    store_u16(ip, 4, static_cast<std::uint16_t>(tcp_size));
    ip[6] = kIpProtocolTcp;
    ip[7] = kHopLimit;
    put(ip, 8, source);
    put(ip, 24, destination);
    return;
  }
  std::fill_n(ip.begin(), kIpv4HeaderSize, std::uint8_t{0});
  ip[0] = 0x45;
  store_u16(ip, 2, static_cast<std::uint16_t>(kIpv4HeaderSize + tcp_size));
  store_u16(ip, 6, 0x4000);  // do not fragment
  ip[8] = kHopLimit;
  ip[9] = kIpProtocolTcp;
  put(ip, 12, source.last<4>());
  put(ip, 16, destination.last<4>());
  store_u16(ip, 10, internet_checksum(ip.first(kIpv4HeaderSize)));
}

}  // namespace

TcpOptions read_tcp_options(std::span<const std::uint8_t> options) {
  TcpOptions read;
  for_each_option(options, [&read](std::span<const std::uint8_t> option) {
    if (option[0] == kOptionSegmentSize && option.size() == 4) {
      read.segment_size = load_u16(option, 2);
    } else if (option[0] == kOptionWindowShift && option.size() == 3) {
      read.window_shift = std::min(option[2], kWindowShiftMax);
    } else if (option[0] == kOptionSackPermitted && option.size() == 2) {
      read.sack_permitted = true;
    }
  });
  return read;
}

TcpSack read_tcp_sack(std::span<const std::uint8_t> options) {
  TcpSack read;
  for_each_option(options, [&read](std::span<const std::uint8_t> option) {
    if (option[0] != kOptionSack) return;
    for (auto blocks = option.subspan(2); blocks.size() >= kSackBlockSize;
         blocks = blocks.subspan(kSackBlockSize)) {
      read.add({load_u32(blocks, 0), load_u32(blocks, 4)});
    }
  });
  return read;
}

TcpFrame frame_segment(const TcpPath& path, const TcpHeader& header, std::span<std::uint8_t> room,
                       std::uint16_t segment_size) {
  std::array<std::uint8_t, kOptionsMax> options{};
  const std::size_t options_size =
      header.sack.empty() ? put_options(header.options, options) : put_sack(header.sack, options);
  const std::size_t ip_size = path.v6 ? kIpv6HeaderSize : kIpv4HeaderSize;
  const std::size_t headers = kIpOffset + ip_size + kTcpHeaderSize + options_size;
  const std::size_t payload_size = room.size() - kTcpHeadroom;
  const std::size_t tcp_size = kTcpHeaderSize + options_size + payload_size;

  const auto frame = room.subspan(kTcpHeadroom - headers);
  put(frame, 0, path.guest_mac.bytes());
  put(frame, 6, path.router_mac.bytes());
  store_u16(frame, 12, path.v6 ? 0x86dd : 0x0800);
  put_ip_header(path, frame, tcp_size);
  const auto tcp = frame.subspan(kIpOffset + ip_size);
  store_u16(tcp, 0, path.key.target_port);
  store_u16(tcp, 2, path.key.guest_port);
  store_u32(tcp, 4, header.sequence);
  store_u32(tcp, 8, header.acknowledgement);
  tcp[12] = static_cast<std::uint8_t>((kTcpHeaderSize + options_size) / 4 << 4);
  tcp[13] = header.flags;
  store_u16(tcp, 14, header.window);
  store_u16(tcp, 16, pseudo_header(frame, path.v6, kIpProtocolTcp, tcp_size).sum());
  store_u16(tcp, 18, 0);
  put(tcp, kTcpHeaderSize, std::span(options).first(options_size));

  TcpFrame made{frame, {}};
  made.offload.needs_checksum = true;
  made.offload.checksum_start = static_cast<std::uint16_t>(kIpOffset + ip_size);
  made.offload.checksum_offset = kTcpChecksumOffset;
  if (payload_size > segment_size) {
    made.offload.segmentation = path.v6 ? Offload::Segmentation::tcp6 : Offload::Segmentation::tcp4;
    made.offload.segment_size = segment_size;
    made.offload.header_size = static_cast<std::uint16_t>(headers);
  }
  return made;
}

}  // namespace lanyard
