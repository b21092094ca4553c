// SPDX-License-Identifier: MIT
//
// The bytes of the VDE handshake: what a client sends on the control stream and what it gets back.
//
// What makes it hard: the request has no length. Version 3 is a packed 122-byte header (magic,
// version, type and port, sockaddr_un) and then the description, which ends where the message ends;
// version 1 has no version word but six bytes of MAC and is 124 bytes; many clients send padding;
// and a stream may deliver any of it in pieces. So the parser says whether what is there can still
// become a request, and the caller decides how long to wait. Words are in host order: both sides
// are on one machine. No sockets, no clock; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "switch/base/result.h"

namespace lanyard {

constexpr std::uint32_t kVdeMagic = 0xfeedface;
constexpr std::size_t kVdeSocketPathSize = 108;  // sun_path of sockaddr_un
constexpr std::size_t kVdeReplySize = 110;       // sockaddr_un, the whole of it
constexpr std::size_t kVdeDescriptionMax = 255;

struct VdeRequest {
  std::uint32_t version = 3;
  bool management_type = false;       // type 1, "port 0 for management"
  std::optional<std::uint16_t> port;  // nullopt: any; a number above 65535 becomes 65535
  bool abstract = false;              // the name lies in the abstract namespace
  // The client's datagram socket: a path without its terminating NUL, or all 108 bytes of an
  // abstract name, the leading NUL included.
  std::string data_socket;
  std::string description;  // as sent, cut at the first NUL and at kVdeDescriptionMax
};

struct VdeParse {
  enum class State : std::uint8_t { incomplete, complete, refused };
  State state = State::incomplete;
  VdeRequest request;  // when complete
  Error why;           // when refused: what is wrong with it
};

// Looks at all bytes received so far.
VdeParse parse_vde_request(std::span<const std::uint8_t> bytes);

// The reply that names the switch's datagram socket. The path must be shorter than 108 bytes.
std::array<std::uint8_t, kVdeReplySize> make_vde_reply(const std::string& path);

// The longest frame the client behind a description can take in one piece, from what the client
// libraries and programs are known to read; 1522 for those nobody knows.
std::uint32_t vde_receiver_frame_max(std::string_view description);

}  // namespace lanyard
