// SPDX-License-Identifier: MIT
#include "backend/gateway/tftp_message.h"

#include <algorithm>
#include <cerrno>

#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr std::size_t kFileNameMax = 1024;

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

// Strings that each end with a NUL.
class Strings {
 public:
  explicit Strings(std::string_view bytes) : rest_(bytes) {}
  std::optional<std::string_view> next() {
    const std::size_t end = rest_.find('\0');
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view text = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return text;
  }

 private:
  std::string_view rest_;
};

std::optional<std::uint32_t> number_within(std::string_view text, std::int64_t least,
                                           std::int64_t most) {
  const auto number = parse_integer(text);
  if (!number || *number < least || *number > most) return std::nullopt;
  return static_cast<std::uint32_t>(*number);
}

void read_option(const std::string& name, std::string_view value, TftpRequest& request) {
  if (name == "blksize") request.block_bytes = number_within(value, 8, 65464);
  if (name == "timeout") request.timeout_s = number_within(value, 1, 255);
  if (name == "windowsize") request.window_blocks = number_within(value, 1, 65535);
  if (name == "tsize") request.wants_size = true;
}

Result<void> read_request(std::string_view bytes, TftpRequest& request) {
  Strings strings(bytes);
  const auto file = strings.next();
  const auto mode = strings.next();
  if (!file || !mode) return Error{EPROTO, "a request that ends before its mode"};
  if (file->empty() || file->size() > kFileNameMax) {
    return Error{EPROTO, fmt::format("a file name of {} bytes", file->size())};
  }
  request.file = *file;
  request.mode = lower(*mode);
  for (auto name = strings.next(); name; name = strings.next()) {
    const auto value = strings.next();
    if (!value) break;
    read_option(lower(*name), *value, request);
  }
  return {};
}

void add_word(std::vector<std::uint8_t>& to, std::uint16_t word) {
  to.push_back(static_cast<std::uint8_t>(word >> 8));
  to.push_back(static_cast<std::uint8_t>(word));
}

void add_string(std::vector<std::uint8_t>& to, std::string_view text) {
  to.insert(to.end(), text.begin(), text.end());
  to.push_back(0);
}

std::vector<std::uint8_t> packet(TftpOpcode opcode) {
  std::vector<std::uint8_t> bytes;
  add_word(bytes, static_cast<std::uint16_t>(opcode));
  return bytes;
}

}  // namespace

Result<TftpPacket> parse_tftp(std::span<const std::uint8_t> bytes) {
  constexpr std::size_t kHeader = 4;
  if (bytes.size() < kHeader) return Error{EPROTO, fmt::format("{} bytes", bytes.size())};
  const unsigned opcode = static_cast<unsigned>(bytes[0]) << 8 | bytes[1];
  if (opcode < 1 || opcode > 6) return Error{EPROTO, fmt::format("operation {}", opcode)};
  TftpPacket parsed;
  parsed.opcode = static_cast<TftpOpcode>(opcode);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  switch (parsed.opcode) {
    case TftpOpcode::read:
    case TftpOpcode::write:
      if (auto read = read_request(text.substr(2), parsed.request); !read) return read.error();
      break;
    case TftpOpcode::data:
    case TftpOpcode::acknowledgement:
      parsed.block = static_cast<std::uint16_t>(bytes[2] << 8 | bytes[3]);
      break;
    case TftpOpcode::error: parsed.text = text.substr(4, text.find('\0', 4) - 4); break;
    case TftpOpcode::options: break;
  }
  return parsed;
}

std::vector<std::uint8_t> tftp_error(TftpError code, std::string_view text) {
  auto bytes = packet(TftpOpcode::error);
  add_word(bytes, static_cast<std::uint16_t>(code));
  add_string(bytes, text);
  return bytes;
}

std::vector<std::uint8_t> tftp_data_header(std::uint16_t block) {
  auto bytes = packet(TftpOpcode::data);
  add_word(bytes, block);
  return bytes;
}

std::vector<std::uint8_t> tftp_option_reply() {
  return packet(TftpOpcode::options);
}

void add_tftp_option(std::vector<std::uint8_t>& to, std::string_view name, std::uint64_t value) {
  add_string(to, name);
  add_string(to, std::to_string(value));
}

}  // namespace lanyard
