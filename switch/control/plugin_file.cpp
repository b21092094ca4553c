// SPDX-License-Identifier: MIT
#include "switch/control/plugin_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "switch/base/text.h"
#include "switch/base/version.h"
#include "switch/network/plugin_text.h"

namespace lanyard {
namespace {

bool is_file(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

// Beside the program that runs: PREFIX/bin/lanyardd and PREFIX/lib/lanyard/plugins, as installed,
// and as built.
std::string beside_program() {
  std::array<char, PATH_MAX> link{};
  const ssize_t size = ::readlink("/proc/self/exe", link.data(), link.size() - 1);
  if (size <= 0) return {};
  std::string path(link.data(), static_cast<std::size_t>(size));
  for (int up = 0; up < 2; ++up) path.resize(std::min(path.rfind('/'), path.size()));
  return path + "/lib/lanyard/plugins";
}

Error not_roots(const std::string& path, std::string_view part, std::string_view why) {
  return {EACCES,
          fmt::format("{} is not loaded: this daemon has more rights than its user, and {} {}",
                      printable(path), printable(part), why)};
}

}  // namespace

std::vector<std::string> plugin_directories() {
  std::vector<std::string> places;
  if (const char* const home = ::secure_getenv("HOME"); home != nullptr && *home != '\0') {
    places.push_back(fmt::format("{}/.vde2/plugins", home));
  }
  places.emplace_back("/usr/lib/vde2/plugins");
  if (std::string ours = beside_program(); !ours.empty()) places.push_back(std::move(ours));
  return places;
}

Result<std::string> find_plugin(std::string_view name,
                                const std::vector<std::string>& directories) {
  if (name.empty()) return Error{EINVAL, "which plugin? A file, or a name in one of the places"};
  std::vector<std::string> stems;
  // A name with a slash is a path; as VDE does, it is also looked for below the places.
  stems.emplace_back(name);
  if (name.front() != '/') {
    for (const std::string& place : directories) stems.push_back(fmt::format("{}/{}", place, name));
  }
  for (const std::string& stem : stems) {
    for (const std::string& path : {stem, stem + ".so"}) {
      if (!is_file(path)) continue;
      const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr),
                                                             &std::free);
      if (real != nullptr) return std::string(real.get());
    }
  }
  std::string text = fmt::format("no plugin {} here", printable(name));
  for (const std::string& place : directories) append(text, ", in {}", printable(place));
  return Error{ENOENT, text};
}

Result<std::string> find_our_plugin(std::string_view name) {
  if (name.starts_with('/')) return find_plugin(name, {});
  const std::string place = beside_program();
  if (name.empty() || name.find('/') != std::string_view::npos) {
    return Error{EINVAL, fmt::format("\"{}\" is neither the name of a plugin nor an absolute path",
                                     printable(name))};
  }
  if (const Result<std::string> file = find_plugin(fmt::format("{}/{}", place, name), {}); file) {
    return file;
  }
  return Error{ENOENT, fmt::format("no plugin {} in {}", printable(name), printable(place))};
}

bool is_privileged() {
  if (::geteuid() == 0 || ::geteuid() != ::getuid() || ::getegid() != ::getgid()) return true;
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (!line.starts_with("CapEff:")) continue;
    return line.find_first_not_of("0 \t", sizeof "CapEff:" - 1) != std::string::npos;
  }
  return true;  // who knows
}

Result<void> check_only_root_writes(const std::string& path) {
  // From the file up to the root; the first directory is the file's own.
  std::string part = path;
  for (bool own_directory = false; !part.empty();) {
    struct stat info {};
    if (::lstat(part.c_str(), &info) != 0) {
      return Error{errno, fmt::format("{}: {}", printable(part), std::strerror(errno))};
    }
    if (S_ISLNK(info.st_mode)) return not_roots(path, part, "is a symbolic link");
    if (info.st_uid != 0) {
      return not_roots(path, part, fmt::format("belongs to user {}, not to root", info.st_uid));
    }
    // In a sticky directory (/tmp) nobody can take away what root has put there.
    const bool sticky = S_ISDIR(info.st_mode) && (info.st_mode & S_ISVTX) != 0 && !own_directory;
    if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0 && !sticky) {
      return not_roots(path, part, "can be written by others than root (chmod go-w)");
    }
    if (part == "/") break;
    own_directory = S_ISREG(info.st_mode);
    const std::size_t slash = part.rfind('/');
    part.resize(slash == 0 ? 1 : slash);
  }
  return {};
}

std::vector<std::string> plugin_file_problems(const Configuration& configuration) {
  std::vector<std::string> problems;
  for (const NetworkConfig& network : configuration.networks) {
    for (const std::string& text : network.plugins) {
      const Result<PluginText> plugin = parse_plugin_text(text);
      if (!plugin) continue;  // whoever read the file has said so
      const Result<std::string> file = find_our_plugin(plugin.value().file);
      Result<void> usable = file ? Result<void>() : Result<void>(file.error());
      if (usable && is_privileged()) usable = check_only_root_writes(file.value());
      if (usable) continue;
      problems.push_back(fmt::format("network {}: {}", network.name, usable.error().text));
    }
  }
  return problems;
}

}  // namespace lanyard
