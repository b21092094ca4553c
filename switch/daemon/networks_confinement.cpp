// SPDX-License-Identifier: MIT
#include "switch/daemon/networks_confinement.h"

#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

#include "switch/base/text.h"
#include "switch/daemon/frame_process_sandbox.h"
#include "switch/daemon/spawner_directories.h"

namespace lanyard {
namespace {

// What a TAP was agreed on, and interfaces of the host.
constexpr std::array<unsigned long, 4> kRequests{TUNGETIFF, TUNSETOFFLOAD, SIOCGIFINDEX,
                                                 SIOCGIFFLAGS};

void add_once(std::vector<std::string>& to, std::string text) {
  if (std::find(to.begin(), to.end(), text) == to.end()) to.push_back(std::move(text));
}

std::string parent_of(const std::string& path) {
  return std::filesystem::path(path).parent_path().string();
}

}  // namespace

void NetworksConfinement::add(const Configuration& configuration) {
  for (const NetworkConfig& network : configuration.networks) {
    for (const SocketConfig& socket : network.sockets) {
      add_once(socket_directories_, real_directory_of(socket.path));
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

std::vector<std::string> NetworksConfinement::socket_directories() const {
  std::vector<std::string> directories = socket_directories_;
  add_once(directories, real_directory_of(places_.runtime_directory + "/x"));
  return directories;
}

// By what it is called: where a link on the way leads, only system calls could tell.
bool NetworksConfinement::reads(const std::string& file) const {
  if (!restricts_paths) return true;
  const std::string directory = parent_of(file);
  return is_below(directory, "/etc") ||
         (!places_.config_file.empty() && is_below(directory, parent_of(places_.config_file)));
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
      if (may_claim(socket.path)) continue;
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
    allowed.push_back({directory, false, false, true});
  };
  sockets_in(places_.runtime_directory);
  for (const std::string& directory : socket_directories_) sockets_in(directory);
  for (const std::string& directory : plug_directories_) sockets_in(directory);
  // Where a plug has its socket when it may not make it in the other switch's directory, which a
  // reload may have brought (libvdeplug does the same).
  allowed.push_back({"/tmp", false, false, true});
  for (const std::string& path : {places_.control_path, places_.pid_file}) {
    if (!path.empty()) allowed.push_back({real_directory_of(path), false, false, true});
  }
  // Whether it is still ours, before it is removed.
  if (!places_.pid_file.empty()) allowed.push_back({places_.pid_file});
  // The directories, because whoever changes the file puts another one in its place.
  if (!places_.config_file.empty()) allowed.push_back({real_directory_of(places_.config_file)});
  for (const std::string& file : resolver_files_) allowed.push_back({real_directory_of(file)});
  return allowed;
}

SandboxPolicy NetworksConfinement::policy() const {
  SandboxPolicy policy = frame_process_sandbox(places_.busy_poll);
  // To open the end of a cable that another switch has made.
  policy.calls.push_back({"fchmodat"});
  for (const unsigned long request : kRequests) policy.calls.push_back({"ioctl", {{1, request}}});
  policy.paths = paths();
  return policy;
}

}  // namespace lanyard
