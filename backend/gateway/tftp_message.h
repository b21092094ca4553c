// SPDX-License-Identifier: MIT
//
// TFTP packets (RFC 1350) and the options of a request (RFC 2347, 2348, 2349, 7440). Values; any
// thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "switch/base/result.h"

namespace lanyard {

enum class TftpOpcode : std::uint16_t {
  read = 1,
  write = 2,
  data = 3,
  acknowledgement = 4,
  error = 5,
  options = 6,
};

enum class TftpError : std::uint16_t {
  undefined = 0,
  not_found = 1,
  access = 2,
  illegal = 4,
  unknown_transfer = 5,
  options = 8,
};

struct TftpRequest {
  std::string file;
  std::string mode;  // lower case
  // Those we know and that make sense; the others are not answered, which means no (RFC 2347).
  std::optional<std::uint32_t> block_bytes;    // 8 to 65464
  std::optional<std::uint32_t> timeout_s;      // 1 to 255
  std::optional<std::uint32_t> window_blocks;  // 1 to 65535
  bool wants_size = false;
};

struct TftpPacket {
  TftpOpcode opcode = TftpOpcode::error;
  TftpRequest request;      // of read and write
  std::uint16_t block = 0;  // of an acknowledgement
  std::string text;         // of an error
};

// EPROTO with what is wrong.
Result<TftpPacket> parse_tftp(std::span<const std::uint8_t> bytes);

std::vector<std::uint8_t> tftp_error(TftpError code, std::string_view text);
std::vector<std::uint8_t> tftp_data_header(std::uint16_t block);
void add_tftp_option(std::vector<std::uint8_t>& to, std::string_view name, std::uint64_t value);
std::vector<std::uint8_t> tftp_option_reply();  // to add options to

}  // namespace lanyard
