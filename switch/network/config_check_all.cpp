// SPDX-License-Identifier: MIT
//
// What networks of one configuration must not share.
#include <algorithm>
#include <map>

#include "switch/network/config_check.h"
#include "switch/network/config_defaults.h"
#include "switch/network/paths.h"

namespace lanyard {
namespace {

using Step = ConfigReport::Step;

// A /24 that no network has, in the style of the one that collided.
std::string free_subnet(const Configuration& configuration, const Ipv4Prefix& like) {
  for (std::uint32_t i = 1; i < 255; ++i) {
    const Ipv4Prefix candidate{
        Ipv4Address::from_number((like.network().number() & 0xffff0000) |
                                 (((like.network().number() >> 8) + i) & 0xff) << 8),
        24};
    const bool taken = std::any_of(configuration.networks.begin(), configuration.networks.end(),
                                   [&](const NetworkConfig& other) {
                                     return other.subnet && other.subnet->overlaps(candidate);
                                   });
    if (!taken) return candidate.text();
  }
  return "172.16.0.0/24";
}

void check_subnets(const Configuration& configuration, std::size_t index, ConfigReport& report) {
  const NetworkConfig& network = configuration.networks[index];
  for (std::size_t i = 0; i < index; ++i) {
    const NetworkConfig& other = configuration.networks[i];
    if (network.subnet && other.subnet && network.subnet->overlaps(*other.subnet)) {
      const Step step(report, "subnet");
      report.add(fmt::format("{} overlaps {} of network {}; give it its own, as in subnet = \"{}\"",
                             network.subnet->text(), other.subnet->text(), other.name,
                             free_subnet(configuration, *network.subnet)));
    }
    if (network.subnet6 && other.subnet6 && network.subnet6->overlaps(*other.subnet6)) {
      const Step step(report, "subnet6");
      report.add(fmt::format("{} overlaps {} of network {}; give it its own, or \"none\"",
                             network.subnet6->text(), other.subnet6->text(), other.name));
    }
  }
}

// Who holds what there can be only one of.
class Holders {
 public:
  // The network that has it already; empty: it is ours now.
  std::string take(const std::string& what, const std::string& network) {
    const auto [at, fresh] = holders_.emplace(what, network);
    return fresh ? std::string() : at->second;
  }

 private:
  std::map<std::string, std::string> holders_;
};

void check_shared(const NetworkConfig& network, Holders& holders, ConfigReport& report) {
  for (std::size_t i = 0; i < network.sockets.size(); ++i) {
    const Step list(report, "socket");
    const Step element(report, std::to_string(i));
    const std::string& path = network.sockets[i].path;
    if (path == control_socket_path()) {
      report.add(fmt::format("{} is the daemon's control socket; take another path", path));
    }
    const std::string holder = holders.take("socket " + path, network.name);
    if (!holder.empty()) {
      report.add(fmt::format("network {} has the socket {}, too; take another path", holder,
                             printable(path)));
    }
  }
  if (!network.host) return;
  const std::string holder = holders.take("interface " + network.host->name, network.name);
  if (holder.empty()) return;
  const Step section(report, "host");
  const Step key(report, "name");
  report.add(fmt::format("network {} has the interface {}, too; write another host.name", holder,
                         printable(network.host->name)));
}

struct HeldForward {
  const ForwardConfig* forward;
  std::string network;
  std::size_t index;
};

std::uint32_t last_port(const ForwardConfig& forward) {
  return std::uint32_t{forward.host_port} + forward.ports - 1;
}

bool is_wildcard(const IpAddress& address) {
  return address.is_v4() ? address.v4().is_unspecified() : address.v6().is_unspecified();
}

bool same_ports(const ForwardConfig& a, const ForwardConfig& b) {
  const bool same_address = a.host_address == b.host_address ||
                            (a.host_address.is_v4() == b.host_address.is_v4() &&
                             (is_wildcard(a.host_address) || is_wildcard(b.host_address)));
  return a.transport == b.transport && same_address && a.host_port <= last_port(b) &&
         b.host_port <= last_port(a);
}

// Compared with those that begin near it only: a file may hold thousands.
void check_forward_ports(std::vector<HeldForward>& forwards, ConfigReport& report) {
  std::stable_sort(forwards.begin(), forwards.end(),
                   [](const HeldForward& a, const HeldForward& b) {
                     return a.forward->host_port < b.forward->host_port;
                   });
  for (std::size_t i = 0; i < forwards.size(); ++i) {
    for (std::size_t j = i + 1;
         j < forwards.size() && forwards[j].forward->host_port <= last_port(*forwards[i].forward);
         ++j) {
      if (!same_ports(*forwards[i].forward, *forwards[j].forward)) continue;
      const bool swapped =
          forwards[i].network == forwards[j].network && forwards[j].index < forwards[i].index;
      const HeldForward& first = swapped ? forwards[j] : forwards[i];
      const HeldForward& second = swapped ? forwards[i] : forwards[j];
      const Step network(report, second.network);
      const Step list(report, "forward");
      const Step element(report, std::to_string(second.index));
      report.add(
          fmt::format("forward {} listens at port {} where forward {} of network {} does; "
                      "take another port",
                      printable(second.forward->name), second.forward->host_port,
                      printable(first.forward->name), first.network));
      break;
    }
  }
}

void check_forwards(const Configuration& configuration, Holders& holders, ConfigReport& report) {
  std::vector<HeldForward> ports;
  for (const NetworkConfig& network : configuration.networks) {
    for (std::size_t i = 0; i < network.forwards.size(); ++i) {
      const ForwardConfig& forward = network.forwards[i];
      const Step step(report, network.name);
      const Step list(report, "forward");
      const Step element(report, std::to_string(i));
      if (forward.guest_port == 0) continue;  // was not read
      const std::string name = printable(forward.name);
      if (!holders.take("forward " + network.name + "/" + forward.name, network.name).empty()) {
        report.add(
            fmt::format("the network has another forward called {}; names are what `lanyard "
                        "forward delete` takes",
                        name));
      }
      if (forward.unix_path.empty()) {
        ports.push_back({&forward, network.name, i});
      } else if (!holders.take("socket " + forward.unix_path, network.name).empty()) {
        report.add(
            fmt::format("{} is in use twice; take another path", printable(forward.unix_path)));
      }
    }
  }
  check_forward_ports(ports, report);
}

}  // namespace

void check_configuration(const Configuration& configuration, ConfigReport& report) {
  const Step networks(report, "network");
  Holders holders;
  for (std::size_t i = 0; i < configuration.networks.size(); ++i) {
    const NetworkConfig& network = configuration.networks[i];
    const Step step(report, network.name);
    if (!is_network_name(network.name)) {
      report.add_key(
          fmt::format("this cannot be a network's name: 1 to {} letters, digits, hyphens, "
                      "dots and underscores",
                      kNetworkNameMax));
    }
    check_network(network, report);
    check_subnets(configuration, i, report);
    check_shared(network, holders, report);
  }
  check_forwards(configuration, holders, report);
}

}  // namespace lanyard
