// SPDX-License-Identifier: MIT
#include "switch/host/netlink_message.h"

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cerrno>

namespace lanyard {
namespace {

constexpr std::size_t aligned(std::size_t size) {
  return (size + NLMSG_ALIGNTO - 1) & ~std::size_t{NLMSG_ALIGNTO - 1};
}

// The fixed part that begins a message, and what is behind it.
template <typename T>
struct Parts {
  T head;
  NetlinkAttributes attributes;
};

template <typename T>
std::optional<Parts<T>> split(std::span<const std::uint8_t> payload) {
  if (payload.size() < sizeof(T)) return std::nullopt;
  T head;
  std::memcpy(&head, payload.data(), sizeof head);
  return Parts<T>{head,
                  NetlinkAttributes(payload.subspan(std::min(aligned(sizeof(T)), payload.size())))};
}

bool is_ip(std::uint8_t family) {
  return family == AF_INET || family == AF_INET6;
}

// A prefix longer than its address is none.
bool fits(unsigned length, const IpAddress& address) {
  return length <= (address.is_v4() ? 32U : 128U);
}

}  // namespace

std::optional<std::span<const std::uint8_t>> NetlinkAttributes::find(std::uint16_t type) const {
  std::span<const std::uint8_t> rest = bytes_;
  while (rest.size() >= sizeof(nlattr)) {
    nlattr head;
    std::memcpy(&head, rest.data(), sizeof head);
    if (head.nla_len < sizeof head || head.nla_len > rest.size()) return std::nullopt;
    if ((head.nla_type & NLA_TYPE_MASK) == type) {
      return rest.subspan(sizeof head, head.nla_len - sizeof head);
    }
    rest = rest.subspan(std::min(aligned(head.nla_len), rest.size()));
  }
  return std::nullopt;
}

std::string NetlinkAttributes::text(std::uint16_t type) const {
  const auto value = find(type);
  if (!value) return {};
  return {value->begin(), std::find(value->begin(), value->end(), std::uint8_t{0})};
}

std::optional<IpAddress> NetlinkAttributes::address(std::uint16_t type) const {
  const auto value = find(type);
  if (value && value->size() == 4) return Ipv4Address::from_bytes(value->first<4>());
  if (value && value->size() == 16) {
    Ipv6Address::Bytes octets;
    std::copy(value->begin(), value->end(), octets.begin());
    return Ipv6Address(octets);
  }
  return std::nullopt;
}

std::optional<LinkInfo> parse_link(std::span<const std::uint8_t> payload) {
  const auto parts = split<ifinfomsg>(payload);
  if (!parts) return std::nullopt;
  const NetlinkAttributes& attributes = parts->attributes;
  LinkInfo link;
  link.index = parts->head.ifi_index;
  link.up = (parts->head.ifi_flags & IFF_UP) != 0;
  link.name = attributes.text(IFLA_IFNAME);
  link.alias = attributes.text(IFLA_IFALIAS);
  link.mtu = attributes.number<std::uint32_t>(IFLA_MTU).value_or(0);
  link.carrier = attributes.number<std::uint8_t>(IFLA_CARRIER).value_or(0) != 0;
  if (const auto mac = attributes.find(IFLA_ADDRESS); mac && mac->size() == MacAddress::kSize) {
    link.mac = MacAddress::from_bytes(mac->first<MacAddress::kSize>());
  }
  if (const auto info = attributes.find(IFLA_LINKINFO)) {
    link.kind = NetlinkAttributes(*info).text(IFLA_INFO_KIND);
  }
  return link;
}

std::optional<AddressInfo> parse_address(std::span<const std::uint8_t> payload) {
  const auto parts = split<ifaddrmsg>(payload);
  if (!parts || !is_ip(parts->head.ifa_family)) return std::nullopt;
  // IFA_LOCAL is ours; on a point-to-point link IFA_ADDRESS is the peer's. IPv6 often has only the
  // latter.
  std::optional<IpAddress> address = parts->attributes.address(IFA_LOCAL);
  if (!address) address = parts->attributes.address(IFA_ADDRESS);
  if (!address || !fits(parts->head.ifa_prefixlen, *address)) return std::nullopt;
  return AddressInfo{static_cast<int>(parts->head.ifa_index), *address, parts->head.ifa_prefixlen};
}

std::optional<RouteInfo> parse_route(std::span<const std::uint8_t> payload) {
  const auto parts = split<rtmsg>(payload);
  if (!parts || !is_ip(parts->head.rtm_family)) return std::nullopt;
  RouteInfo route;
  if (parts->head.rtm_family == AF_INET6) route.destination = Ipv6Address();
  if (const auto destination = parts->attributes.address(RTA_DST)) route.destination = *destination;
  route.length = parts->head.rtm_dst_len;
  if (!fits(route.length, route.destination)) return std::nullopt;
  route.interface_index =
      static_cast<int>(parts->attributes.number<std::uint32_t>(RTA_OIF).value_or(0));
  route.table = parts->attributes.number<std::uint32_t>(RTA_TABLE).value_or(parts->head.rtm_table);
  route.type = parts->head.rtm_type;
  route.protocol = parts->head.rtm_protocol;
  return route;
}

NetlinkAnswer parse_answer(std::span<const std::uint8_t> payload, std::uint16_t flags) {
  const auto parts = split<nlmsgerr>(payload);
  if (!parts) return {EBADMSG, "an answer of the kernel is cut short"};
  NetlinkAnswer answer;
  answer.code = parts->head.error < 0 && parts->head.error > -4096 ? -parts->head.error : 0;
  if ((flags & NLM_F_ACK_TLVS) == 0) return answer;
  // The request is repeated in front of the attributes, its payload only if there was an error.
  std::size_t before = sizeof(nlmsgerr);
  if ((flags & NLM_F_CAPPED) == 0 && parts->head.msg.nlmsg_len >= sizeof(nlmsghdr)) {
    before += aligned(parts->head.msg.nlmsg_len) - sizeof(nlmsghdr);
  }
  if (before > payload.size()) return answer;
  answer.text = NetlinkAttributes(payload.subspan(before)).text(NLMSGERR_ATTR_MSG);
  return answer;
}

}  // namespace lanyard
