// SPDX-License-Identifier: MIT
#include "switch/network/port_holder.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <optional>

#include "switch/base/fd.h"
#include "switch/base/text.h"

namespace lanyard {
namespace {

namespace fs = std::filesystem;

template <typename Number>
std::optional<Number> number_of(std::string_view text, int base) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// By pread(2), with which a gateway reads all of its files. Empty when it cannot be read.
std::string read_file(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  std::array<char, 16384> chunk{};
  for (;;) {
    const ssize_t count =
        fd ? ::pread(fd.get(), chunk.data(), chunk.size(), static_cast<off_t>(text.size())) : -1;
    if (count <= 0) return text;
    text.append(chunk.data(), static_cast<std::size_t>(count));
  }
}

// The process one of whose descriptors is the socket.
std::string process_of_inode(const std::string& proc, std::uint64_t inode) {
  const std::string wanted = fmt::format("socket:[{}]", inode);
  std::error_code ignored;
  for (const auto& process : fs::directory_iterator(proc, ignored)) {
    const std::string pid = process.path().filename().string();
    if (!number_of<std::uint32_t>(pid, 10)) continue;
    std::error_code refused;
    for (const auto& fd : fs::directory_iterator(process.path() / "fd", refused)) {
      if (fs::read_symlink(fd.path(), refused).string() != wanted) continue;
      std::string name;
      std::getline(std::ifstream(process.path() / "comm"), name);
      return fmt::format("process {} ({})", pid, printable(name));
    }
  }
  return {};
}

}  // namespace

PortSocket read_socket_line(std::string_view line, Transport transport, std::uint16_t port) {
  const auto words = split_words(line);
  if (words.size() < 10) return {};
  const std::size_t colon = words[1].rfind(':');
  if (colon == std::string_view::npos) return {};
  if (number_of<std::uint16_t>(words[1].substr(colon + 1), 16) != port) return {};
  // 0A is LISTEN; a UDP socket that only receives is 07.
  if (words[3] != (transport == Transport::tcp ? "0A" : "07")) return {};
  PortSocket result;
  result.uid = number_of<std::uint32_t>(words[7], 10).value_or(0);
  result.inode = number_of<std::uint64_t>(words[9], 10).value_or(0);
  return result;
}

PortSocket port_socket(Transport transport, std::uint16_t port, const std::string& proc) {
  const char* names[] = {transport == Transport::tcp ? "tcp" : "udp",
                         transport == Transport::tcp ? "tcp6" : "udp6"};
  for (const char* name : names) {
    const std::string table = read_file(proc + "/net/" + name);
    std::string_view rest = table;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find('\n'), rest.size());
      const PortSocket found = read_socket_line(rest.substr(0, end), transport, port);
      if (found.inode != 0) return found;
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  return {};
}

std::string port_holder(Transport transport, std::uint16_t port, const std::string& proc) {
  const PortSocket found = port_socket(transport, port, proc);
  if (found.inode == 0) return {};
  const std::string process = process_of_inode(proc, found.inode);
  return process.empty() ? fmt::format("a process of user {}", found.uid) : process;
}

}  // namespace lanyard
