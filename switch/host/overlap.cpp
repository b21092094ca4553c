// SPDX-License-Identifier: MIT
#include "switch/host/overlap.h"

#include <linux/rtnetlink.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "switch/base/text.h"
#include "switch/host/host_interface.h"
#include "switch/host/netlink.h"

namespace lanyard {
namespace {

// Whether packets that follow the route go somewhere, and somewhere of interest.
bool matters(const RouteInfo& route) {
  return route.type == RTN_UNICAST && route.length != 0 && route.table != RT_TABLE_LOCAL;
}

// Every interface has link-local addresses, and multicast belongs to no interface.
bool is_everywhere(const IpAddress& address) {
  return address.is_v4() ? address.v4().is_link_local() || address.v4().is_multicast()
                         : address.v6().is_link_local() || address.v6().is_multicast();
}

bool overlap(const IpAddress& a, unsigned a_length, const HostRange& b) {
  if (a.is_v4() != b.address.is_v4()) return false;
  return a.is_v4() ? Ipv4Prefix{a.v4(), a_length}.overlaps(Ipv4Prefix{b.address.v4(), b.length})
                   : Ipv6Prefix{a.v6(), a_length}.overlaps(Ipv6Prefix{b.address.v6(), b.length});
}

// Such a route says nothing that the address does not.
bool follows_from_address(const RouteInfo& route, const std::vector<AddressInfo>& addresses) {
  return route.protocol == RTPROT_KERNEL &&
         std::any_of(addresses.begin(), addresses.end(), [&](const AddressInfo& info) {
           return info.interface_index == route.interface_index && info.length == route.length &&
                  overlap(info.address, info.length, {route.destination, route.length, {}, {}});
         });
}

std::string prefix_text(const IpAddress& address, unsigned length) {
  return fmt::format("{}/{}", address.text(), length);
}

struct Own {
  std::string interface;
  long pid;

  bool has(const HostRange& range) const {
    if (!interface.empty() && range.interface == interface) return true;
    const auto alias = InterfaceAlias::parse(range.alias);
    return alias && alias->pid == pid;
  }
};

void compare(const IpAddress& subnet, unsigned length, const Own& own,
             const std::vector<HostRange>& ranges, std::vector<std::string>& found) {
  for (const HostRange& range : ranges) {
    if (range.length == 0 || is_everywhere(range.address) || own.has(range)) continue;
    if (!overlap(subnet, length, range)) continue;
    std::string text =
        fmt::format("{} overlaps {} {}", prefix_text(subnet, length),
                    range.is_route ? "route" : "address", prefix_text(range.address, range.length));
    if (!range.interface.empty()) append(text, " dev {}", printable(range.interface));
    found.push_back(std::move(text));
  }
}

}  // namespace

std::vector<std::string> overlaps(const NetworkConfig& network,
                                  const std::vector<HostRange>& ranges, long pid) {
  const Own own{network.host ? network.host->name : std::string(), pid};
  std::vector<std::string> found;
  if (network.subnet) {
    compare(network.subnet->network(), network.subnet->length, own, ranges, found);
  } else if (network.host && network.host->address) {
    compare(network.host->address->network(), network.host->address->length, own, ranges, found);
  }
  if (network.subnet6) {
    compare(network.subnet6->network(), network.subnet6->length, own, ranges, found);
  } else if (network.host && network.host->address6) {
    compare(network.host->address6->network(), network.host->address6->length, own, ranges, found);
  }
  return found;
}

Result<std::vector<HostRange>> read_host_ranges() {
  Result<Netlink> netlink = Netlink::open();
  if (!netlink) return netlink.error();
  const auto links = netlink.value().links();
  if (!links) return links.error();
  const auto addresses = netlink.value().addresses();
  if (!addresses) return addresses.error();
  const auto routes = netlink.value().routes();
  if (!routes) return routes.error();

  std::map<int, const LinkInfo*> by_index;
  for (const LinkInfo& link : links.value()) by_index[link.index] = &link;
  std::vector<HostRange> ranges;
  const auto add = [&](const IpAddress& address, unsigned length, int index, bool is_route) {
    const auto at = by_index.find(index);
    const bool known = at != by_index.end();
    ranges.push_back({address, length, known ? at->second->name : std::string(),
                      known ? at->second->alias : std::string(), is_route});
  };
  for (const AddressInfo& info : addresses.value()) {
    add(info.address, info.length, info.interface_index, false);
  }
  for (const RouteInfo& route : routes.value()) {
    if (matters(route) && !follows_from_address(route, addresses.value())) {
      add(route.destination, route.length, route.interface_index, true);
    }
  }
  return ranges;
}

Result<void> check_overlap(const NetworkConfig& network) {
  const Result<std::vector<HostRange>> ranges = read_host_ranges();
  if (!ranges) return ranges.error();
  const std::vector<std::string> found = overlaps(network, ranges.value(), ::getpid());
  if (found.empty()) return {};
  return Error{EEXIST, fmt::format("network {}: {}. Choose another subnet, or remove that one",
                                   network.name, found.front())};
}

}  // namespace lanyard
