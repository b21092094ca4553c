// SPDX-License-Identifier: MIT
//
// The keys of every part of a configuration: reading, writing, the difference of two values, the
// hints for misspelt keys and the test of the manual all walk these lists.
// Inside of switch/network only. Any thread.
#pragma once

#include <span>

#include "switch/network/config_values.h"

namespace lanyard {

// The argument only chooses the list; it may be null.
std::span<const ConfigField<SocketConfig>> config_fields(const SocketConfig*);
std::span<const ConfigField<HostInterfaceConfig>> config_fields(const HostInterfaceConfig*);
std::span<const ConfigField<HostConfig>> config_fields(const HostConfig*);
std::span<const ConfigField<DhcpConfig::Route>> config_fields(const DhcpConfig::Route*);
std::span<const ConfigField<DhcpConfig>> config_fields(const DhcpConfig*);
std::span<const ConfigField<DnsRecordConfig>> config_fields(const DnsRecordConfig*);
std::span<const ConfigField<DnsConfig>> config_fields(const DnsConfig*);
std::span<const ConfigField<PolicyConfig>> config_fields(const PolicyConfig*);
std::span<const ConfigField<BindingConfig>> config_fields(const BindingConfig*);
std::span<const ConfigField<BandwidthGroup>> config_fields(const BandwidthGroup*);
std::span<const ConfigField<GuardConfig>> config_fields(const GuardConfig*);
std::span<const ConfigField<NetworkConfig>> config_fields(const NetworkConfig*);

// Keys of the tables that are text or have forms of their own: forwards and DHCP options.
struct ConfigKeyHelp {
  std::string_view key;
  std::string_view help;
};
std::span<const ConfigKeyHelp> forward_keys();
std::span<const ConfigKeyHelp> dhcp_option_keys();
std::span<const ConfigKeyHelp> control_keys();

}  // namespace lanyard
