// SPDX-License-Identifier: MIT
#include "backend/gateway/dns_zone.h"

#include <algorithm>
#include <charconv>

#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr std::string_view kGatewayName = "gateway";
constexpr std::string_view kHostName = "host";

// The address that a reverse name begins with, read from its root: as many parts as there are.
struct ReverseName {
  IpAddress address;  // zeros where parts are missing
  unsigned length = 0;
  bool whole = false;  // an address and nothing in front of it
};

// 0 to 255 without leading zeros.
std::optional<std::uint8_t> octet_of(std::string_view label) {
  if (label.empty() || label.size() > 3 || (label.size() > 1 && label[0] == '0')) return {};
  unsigned value = 0;
  const auto [end, error] = std::from_chars(label.data(), label.data() + label.size(), value);
  if (error != std::errc() || end != label.data() + label.size() || value > 255) return {};
  return static_cast<std::uint8_t>(value);
}

std::optional<std::uint8_t> nibble_of(std::string_view label) {
  if (label.size() != 1) return {};
  if (label[0] >= '0' && label[0] <= '9') return static_cast<std::uint8_t>(label[0] - '0');
  if (label[0] >= 'a' && label[0] <= 'f') return static_cast<std::uint8_t>(label[0] - 'a' + 10);
  return {};
}

// `labels` without in-addr.arpa or ip6.arpa.
ReverseName reverse_of(const std::vector<std::string_view>& labels, bool v6) {
  Ipv6Address::Bytes octets{};
  const std::size_t parts_max = v6 ? 32 : 4;
  std::size_t parts = 0;
  for (auto label = labels.rbegin(); label != labels.rend() && parts < parts_max; ++label) {
    const auto part = v6 ? nibble_of(*label) : octet_of(*label);
    if (!part) break;
    if (v6) {
      octets[parts / 2] |= static_cast<std::uint8_t>(parts % 2 == 0 ? *part << 4 : *part);
    } else {
      octets[parts] = *part;
    }
    ++parts;
  }
  ReverseName reverse;
  reverse.length = static_cast<unsigned>(parts) * (v6 ? 4 : 8);
  reverse.whole = parts == parts_max && labels.size() == parts_max;
  reverse.address = v6 ? IpAddress(Ipv6Address(octets))
                       : IpAddress(Ipv4Address::from_bytes(std::span(octets).first<4>()));
  return reverse;
}

std::optional<ReverseName> read_reverse(const DnsName& name) {
  std::vector<std::string_view> labels = name.labels();
  const std::size_t count = labels.size();
  if (count < 2 || labels[count - 1] != "arpa") return std::nullopt;
  const bool v6 = labels[count - 2] == "ip6";
  if (!v6 && labels[count - 2] != "in-addr") return std::nullopt;
  labels.resize(count - 2);
  return reverse_of(labels, v6);
}

// Below which name all of a subnet's reverse names are, for the SOA; only whole parts count.
DnsName reverse_zone(const DnsName& name, unsigned subnet_length, bool v6) {
  const std::size_t labels_kept = subnet_length / (v6 ? 4 : 8) + 2;
  DnsName zone = name;
  for (std::size_t count = name.labels().size(); count > labels_kept; --count) zone = zone.parent();
  return zone;
}

bool asks_for(DnsType type, const IpAddress& address) {
  return type == DnsType::any || type == (address.is_v4() ? DnsType::a : DnsType::aaaa);
}

DnsAnswer addresses_answer(const DnsQuestion& question, const std::vector<IpAddress>& addresses,
                           const DnsName& zone) {
  DnsAnswer answer;
  answer.ttl_s = DnsZone::kTtl_s;
  answer.zone = zone;
  for (const IpAddress& address : addresses) {
    if (asks_for(question.type, address)) answer.records.push_back({question.name, address});
  }
  return answer;
}

DnsAnswer no_such_name(const DnsName& zone) {
  DnsAnswer answer;
  answer.rcode = DnsRcode::name_error;
  answer.ttl_s = DnsZone::kTtl_s;
  answer.zone = zone;
  return answer;
}

DnsAnswer nothing_of_the_kind(const DnsName& zone) {
  DnsAnswer answer;
  answer.ttl_s = DnsZone::kTtl_s;
  answer.zone = zone;
  return answer;
}

}  // namespace

DnsZone::DnsZone(const NetworkConfig& config, const GuestDirectory& directory)
    : directory_(&directory), config_(config) {
  if (!config.domain.empty()) domain_ = DnsName::parse(config.domain);
  if (domain_ && domain_->is_root()) domain_.reset();
  // Records before hosts, so that a reverse name is what the user wrote for it.
  for (const DnsRecordConfig& record : config.dns.records) add(record.name, record.address);
  for (const HostConfig& host : config.hosts) {
    if (host.name.empty()) continue;
    if (host.address) add(host.name, *host.address);
    if (host.address6) add(host.name, *host.address6);
  }
}

void DnsZone::add(std::string_view text, const IpAddress& address) {
  const auto name = DnsName::parse(text);
  if (!name || name->is_root()) return;
  const auto put = [&](std::vector<IpAddress>& addresses) {
    if (std::find(addresses.begin(), addresses.end(), address) == addresses.end()) {
      addresses.push_back(address);
    }
  };
  if (const auto below = short_name(*name)) {
    put(short_[*below]);
  } else {
    put(full_[name->key()]);
  }
  if (const auto full = full_name(text)) reverse_.try_emplace(address, *full);
}

std::optional<DnsName> DnsZone::full_name(std::string_view text) const {
  const auto name = DnsName::parse(text);
  if (!name || !domain_ || name->labels().size() != 1) return name;
  return DnsName::from_wire(name->wire().substr(0, name->wire().size() - 1) + domain_->wire());
}

std::optional<std::string> DnsZone::short_name(const DnsName& name) const {
  const std::vector<std::string_view> labels = name.labels();
  std::size_t count = labels.size();
  if (domain_ && name.is_within(*domain_)) {
    count -= domain_->labels().size();
    if (count == 0) return std::nullopt;
  } else if (count != 1) {
    return std::nullopt;
  }
  std::string text(labels[0]);
  for (std::size_t i = 1; i < count; ++i) append(text, ".{}", labels[i]);
  return text;
}

std::vector<IpAddress> DnsZone::builtin_addresses(std::string_view name) const {
  std::vector<IpAddress> addresses;
  const bool router =
      name == kGatewayName || (name == kHostName && !config_.host && config_.policy.host_loopback);
  if (router && config_.kind == NetworkKind::nat) {
    if (config_.router) addresses.emplace_back(*config_.router);
    if (config_.router6) addresses.emplace_back(*config_.router6);
  }
  // On a routed network the host is the gateway.
  const bool host =
      name == kHostName || (name == kGatewayName && config_.kind == NetworkKind::routed);
  if (host && config_.host) {
    if (config_.host->address) addresses.emplace_back(config_.host->address->address);
    if (config_.host->address6) addresses.emplace_back(config_.host->address6->address);
  }
  return addresses;
}

std::vector<IpAddress> DnsZone::addresses_of(const std::string& name) const {
  if (const auto known = short_.find(name); known != short_.end()) return known->second;
  std::vector<IpAddress> addresses = builtin_addresses(name);
  // Names by which programs find a proxy or a router are not for any guest to take (VU#598349).
  if (!addresses.empty() || name == "wpad" || name == "isatap") return addresses;
  return directory_->addresses_of(name);
}

std::optional<DnsName> DnsZone::name_of(const IpAddress& address) const {
  if (const auto known = reverse_.find(address); known != reverse_.end()) return known->second;
  if (const auto name = directory_->name_of(address)) return full_name(*name);
  for (const std::string_view name : {kHostName, kGatewayName}) {
    const std::vector<IpAddress> addresses = builtin_addresses(name);
    if (std::find(addresses.begin(), addresses.end(), address) != addresses.end()) {
      return full_name(name);
    }
  }
  return std::nullopt;
}

std::optional<DnsAnswer> DnsZone::answer(const DnsQuestion& question) const {
  const DnsName& name = question.name;
  if (auto special = answer_special(question)) return special;
  if (const auto full = full_.find(name.key()); full != full_.end()) {
    return addresses_answer(question, full->second, name);
  }
  const bool ours = domain_ && name.is_within(*domain_);
  if (const auto below = short_name(name)) {
    const std::vector<IpAddress> addresses = addresses_of(*below);
    if (!addresses.empty()) return addresses_answer(question, addresses, ours ? *domain_ : name);
    // A name above one that exists is there, too (RFC 8020).
    const auto exists_below = [&](const auto& entry) {
      return entry.first.ends_with("." + *below);
    };
    if (ours) {
      return std::any_of(short_.begin(), short_.end(), exists_below) ? nothing_of_the_kind(*domain_)
                                                                     : no_such_name(*domain_);
    }
  }
  if (ours) return nothing_of_the_kind(*domain_);
  return answer_reverse(question);
}

std::optional<DnsAnswer> DnsZone::answer_reverse(const DnsQuestion& question) const {
  const auto reverse = read_reverse(question.name);
  if (!reverse) return std::nullopt;
  const bool v6 = reverse->address.is_v6();
  const std::optional<DnsName> name = reverse->whole ? name_of(reverse->address) : std::nullopt;
  std::optional<unsigned> subnet_length;
  if (!v6 && config_.subnet && config_.subnet->contains(reverse->address.v4())) {
    subnet_length = config_.subnet->length;
  }
  if (v6 && config_.subnet6 && config_.subnet6->contains(reverse->address.v6())) {
    subnet_length = config_.subnet6->length;
  }
  const bool ours = subnet_length && reverse->length >= *subnet_length;
  if (!ours && !name) return std::nullopt;
  const DnsName zone = ours ? reverse_zone(question.name, *subnet_length, v6) : question.name;
  if (name) {
    DnsAnswer answer = nothing_of_the_kind(zone);
    if (question.type == DnsType::ptr || question.type == DnsType::any) {
      answer.records.push_back({question.name, *name});
    }
    return answer;
  }
  // Part of an address is a name above others; what has words in front is none.
  const bool partial = question.name.labels().size() == reverse->length / (v6 ? 4 : 8) + 2;
  return partial && !reverse->whole ? nothing_of_the_kind(zone) : no_such_name(zone);
}

std::optional<DnsAnswer> DnsZone::answer_special(const DnsQuestion& question) const {
  const std::vector<std::string_view> labels = question.name.labels();
  if (labels.empty()) return std::nullopt;
  if (labels.back() == "localhost") {
    Ipv6Address::Bytes loopback6{};
    loopback6.back() = 1;
    return addresses_answer(
        question, {Ipv4Address::from_number(0x7f000001), Ipv6Address(loopback6)}, question.name);
  }
  if (labels.back() == "invalid") return no_such_name(*DnsName::parse("invalid"));
  const DnsName resolver = *DnsName::parse("resolver.arpa");
  if (question.name.is_within(resolver)) return nothing_of_the_kind(resolver);
  return std::nullopt;
}

}  // namespace lanyard
