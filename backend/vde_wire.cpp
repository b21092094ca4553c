// SPDX-License-Identifier: MIT
#include "backend/vde_wire.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "switch/base/text.h"
#include "switch/frame/ethernet.h"

namespace lanyard {
namespace {

constexpr std::size_t kV3AddressAt = 12;
constexpr std::size_t kV1AddressAt = 14;  // magic, type, six bytes of MAC
constexpr std::size_t kFamilySize = 2;

static_assert(sizeof(sockaddr_un) == kVdeReplySize);

std::uint32_t load_u32(std::span<const std::uint8_t> bytes, std::size_t at) {
  std::uint32_t word = 0;
  std::memcpy(&word, bytes.subspan(at, sizeof word).data(), sizeof word);
  return word;
}

VdeParse refuse(std::string why) {
  VdeParse parse;
  parse.state = VdeParse::State::refused;
  parse.why = {EPROTO, std::move(why)};
  return parse;
}

// The low byte is the type, the upper 24 bits a signed port number; negative means port 0.
bool read_type(std::uint32_t word, VdeRequest& request) {
  const std::uint32_t type = word & 0xff;
  if (type > 1) return false;
  const std::int32_t port = static_cast<std::int32_t>(word) >> 8;
  request.management_type = type == 1;
  if (type == 1 || port < 0) {
    request.port = 0;
  } else if (port > 0) {
    request.port = static_cast<std::uint16_t>(std::min(port, 65535));
  }
  return true;
}

std::string text_of(std::span<const std::uint8_t> bytes) {
  const auto end = std::find(bytes.begin(), bytes.end(), 0);
  return {bytes.begin(), end};
}

}  // namespace

VdeParse parse_vde_request(std::span<const std::uint8_t> bytes) {
  VdeParse parse;
  if (bytes.size() < 4) return parse;
  if (load_u32(bytes, 0) != kVdeMagic) return refuse("V0 request not supported");
  if (bytes.size() < 8) return parse;

  VdeRequest& request = parse.request;
  const std::uint32_t second = load_u32(bytes, 4);
  // Version 1 has the type where version 3 has the version.
  request.version = second <= 1 ? 1 : second;
  if (request.version != 1 && request.version != 3) {
    return refuse(fmt::format("Request for a version {} port, which this switch doesn't support",
                              request.version));
  }
  const std::size_t type_at = request.version == 1 ? 4 : 8;
  const std::size_t address_at = request.version == 1 ? kV1AddressAt : kV3AddressAt;
  const std::size_t header_size = address_at + kFamilySize + kVdeSocketPathSize;
  if (bytes.size() < type_at + 4) return parse;
  const std::uint32_t type = load_u32(bytes, type_at);
  if (!read_type(type, request)) return refuse(fmt::format("Bad request type : {}", type & 0xff));
  if (bytes.size() < header_size) return parse;

  std::uint16_t family = 0;
  std::memcpy(&family, bytes.subspan(address_at, kFamilySize).data(), kFamilySize);
  if (family != AF_UNIX) return refuse(fmt::format("address of family {}, not AF_UNIX", family));
  const auto path = bytes.subspan(address_at + kFamilySize, kVdeSocketPathSize);
  request.abstract = path[0] == 0;
  request.data_socket = request.abstract ? std::string(path.begin(), path.end()) : text_of(path);
  if (std::all_of(path.begin(), path.end(), [](std::uint8_t b) { return b == 0; })) {
    return refuse("names no data socket");
  }
  const auto rest = bytes.subspan(header_size);
  request.description = text_of(rest.first(std::min(rest.size(), kVdeDescriptionMax)));
  parse.state = VdeParse::State::complete;
  return parse;
}

std::array<std::uint8_t, kVdeReplySize> make_vde_reply(const std::string& path) {
  std::array<std::uint8_t, kVdeReplySize> reply{};
  const std::uint16_t family = AF_UNIX;
  std::memcpy(reply.data(), &family, sizeof family);
  std::memcpy(reply.data() + kFamilySize, path.data(),
              std::min(path.size(), kVdeSocketPathSize - 1));
  return reply;
}

std::uint32_t vde_receiver_frame_max(std::string_view description) {
  constexpr std::uint32_t kVirtualBox = 16384;
  constexpr std::uint32_t kLibvdeplug4 = 9234;  // 9216 of MTU and 18 of headers
  if (description.starts_with("QEMU")) return kMaxFrameSize;
  if (description.starts_with("lanyard:")) return kMaxFrameSize;  // plug_handshake.h
  if (description.starts_with("VirtualBOX")) return kVirtualBox;
  // libvdeplug 4 writes " pid=", version 2 " PID=": the latter's programs read 1521 bytes at most.
  if (description.find(" pid=") != std::string_view::npos) return kLibvdeplug4;
  return kStandardFrameSize;
}

}  // namespace lanyard
