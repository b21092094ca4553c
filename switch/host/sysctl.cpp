// SPDX-License-Identifier: MIT
#include "switch/host/sysctl.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "switch/base/fd.h"
#include "switch/base/text.h"

namespace lanyard {

std::optional<std::string> read_setting(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::nullopt;
  std::string text;
  std::array<char, 4096> part;
  ssize_t count = 0;
  while ((count = ::read(file.get(), part.data(), part.size())) > 0) {
    text.append(part.data(), static_cast<std::size_t>(count));
  }
  if (count < 0) return std::nullopt;
  text.erase(text.find_last_not_of(" \t\n") + 1);
  return text;
}

Result<void> write_setting(const std::string& path, std::string_view value) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  const bool written =
      file && ::write(file.get(), value.data(), value.size()) == static_cast<ssize_t>(value.size());
  if (written) return {};
  const int code = errno;
  return Error{code, fmt::format("cannot write {} to {}: {}", value, path, std::strerror(code))};
}

void set_interface_sysctl(std::string_view family, std::string_view interface,
                          std::string_view name, std::string_view value) {
  if (value.empty()) return;
  const std::string path = fmt::format("/proc/sys/net/{}/conf/{}/{}", family, interface, name);
  const auto now = read_setting(path);
  if (now && *now != value) static_cast<void>(write_setting(path, value));
}

}  // namespace lanyard
