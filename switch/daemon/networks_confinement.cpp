// SPDX-License-Identifier: MIT
#include "switch/daemon/networks_confinement.h"

#include <linux/if_tun.h>
#include <linux/landlock.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

#include "switch/base/text.h"
#include "switch/daemon/frame_process_sandbox.h"

namespace lanyard {
namespace {

// Beside what every process with guests' frames may.
constexpr std::array kCalls{// Sockets that a reload brings, and the file that it reads.
                            "flock", "getcwd", "mkdir", "pread64", "readlinkat",
                            // The C library.
                            "getgroups", "getegid"};

// What a TAP was agreed on, and interfaces of the host.
constexpr std::array<unsigned long, 3> kRequests{TUNSETOFFLOAD, SIOCGIFINDEX, SIOCGIFFLAGS};

// Where the programs that write the host's resolv.conf keep what it is a link to.
std::string directory_of(const std::string& path) {
  std::error_code ignored;
  const std::string real = std::filesystem::weakly_canonical(path, ignored).string();
  return std::filesystem::path(real.empty() ? path : real).parent_path().string();
}

void add_once(std::vector<std::string>& to, std::string text) {
  if (std::find(to.begin(), to.end(), text) == to.end()) to.push_back(std::move(text));
}

bool is_below(const std::string& path, const std::string& directory) {
  return path == directory || path.starts_with(directory == "/" ? directory : directory + "/");
}

}  // namespace

void NetworksConfinement::add(const Configuration& configuration) {
  for (const NetworkConfig& network : configuration.networks) {
    for (const SocketConfig& socket : network.sockets) {
      add_once(socket_directories_, directory_of(socket.path));
    }
    add_once(resolver_files_, network.dns.resolv_conf);
    for (const std::string& text : network.plugins) {
      add_once(obstacles_,
               fmt::format("network {} has the plugin {}", network.name, printable(text)));
    }
    for (const std::string& url : network.plugs) {
      const Result<BackendOptions> plug = BackendOptions::parse(url);
      if (!plug || plug.value().kind() == "tap") continue;
      if (std::optional<std::string> directory = directory_of_plug(plug.value())) {
        add_once(plug_directories_, *directory);
        continue;
      }
      add_once(obstacles_, fmt::format("network {} has the plug {}", network.name, printable(url)));
    }
  }
}

// nullopt: only a library knows what it needs.
std::optional<std::string> NetworksConfinement::directory_of_plug(
    const BackendOptions& plug) const {
  const Backend* const backend = backends_.find(plug.kind());
  if (backend == nullptr || backend->socket_directory == nullptr) return std::nullopt;
  return backend->socket_directory(plug);
}

bool NetworksConfinement::has_directory(const std::string& directory) const {
  return is_below(directory, directory_of(places_.runtime_directory + "/x")) ||
         std::any_of(socket_directories_.begin(), socket_directories_.end(),
                     [&](const std::string& one) { return is_below(directory, one); });
}

bool NetworksConfinement::reads(const std::string& file) const {
  if (!restricts_paths) return true;
  const std::string directory = directory_of(file);
  return is_below(directory, "/etc") ||
         (!places_.config_file.empty() && is_below(directory, directory_of(places_.config_file)));
}

Result<void> NetworksConfinement::check(const Configuration& wanted) const {
  const auto refused = [](const NetworkConfig& network, std::string_view what) {
    return Error{EPERM,
                 fmt::format("network {}: {} was in no configuration when this daemon confined "
                             "itself (LANYARD_SANDBOX, lanyardd(8)). 'lanyard upgrade' brings one "
                             "that knows the file as it is now, and guests stay plugged in; "
                             "without a keeper, start it anew",
                             network.name, what)};
  };
  for (const NetworkConfig& network : wanted.networks) {
    for (const SocketConfig& socket : network.sockets) {
      if (!restricts_paths || has_directory(directory_of(socket.path))) continue;
      return refused(network, fmt::format("the directory of {}", printable(socket.path)));
    }
    for (const std::string& url : network.plugs) {
      const Result<BackendOptions> plug = BackendOptions::parse(url);
      if (!plug || plug.value().kind() == "tap") continue;
      if (directory_of_plug(plug.value())) continue;
      return refused(network, fmt::format("the plug {}", printable(url)));
    }
    if (!network.plugins.empty()) {
      return refused(network, fmt::format("the plugin {}", printable(network.plugins.front())));
    }
  }
  return {};
}

std::vector<AllowedPath> NetworksConfinement::paths() const {
  // libc's time of day, the names of users and groups, and what confines gateways.
  std::vector<AllowedPath> allowed{{"/etc"}, {"/usr/share/zoneinfo"}, {"/proc"}};
  const auto sockets_in = [&](const std::string& directory) {
    AllowedPath path{directory, false, false, true};
    path.list = true;
    path.make_directories = true;
    path.remove_directories = true;
    allowed.push_back(path);
  };
  sockets_in(places_.runtime_directory);
  for (const std::string& directory : socket_directories_) sockets_in(directory);
  for (const std::string& directory : plug_directories_) sockets_in(directory);
  // Where a plug has its socket when it may not make it in the other switch's directory, which a
  // reload may have brought (libvdeplug does the same).
  allowed.push_back({"/tmp", false, false, true});
  for (const std::string& path : {places_.control_path, places_.pid_file}) {
    if (!path.empty()) allowed.push_back({directory_of(path), false, false, true});
  }
  // Whether it is still ours, before it is removed.
  if (!places_.pid_file.empty()) allowed.push_back({places_.pid_file});
  // The directories, because whoever changes the file puts another one in its place.
  if (!places_.config_file.empty()) allowed.push_back({directory_of(places_.config_file)});
  for (const std::string& file : resolver_files_) allowed.push_back({directory_of(file)});
  return allowed;
}

SandboxPolicy NetworksConfinement::policy() const {
  SandboxPolicy policy = frame_process_sandbox(places_.kept);
  for (const char* const name : kCalls) policy.calls.push_back({name});
  for (const unsigned long request : kRequests) policy.calls.push_back({"ioctl", {{1, request}}});
  // Which version of it this kernel has, and nothing more.
  policy.calls.push_back(
      {"landlock_create_ruleset",
       {{0, 0, ~std::uint64_t{0}}, {1, 0}, {2, LANDLOCK_CREATE_RULESET_VERSION}}});
  policy.paths = paths();
  return policy;
}

}  // namespace lanyard
