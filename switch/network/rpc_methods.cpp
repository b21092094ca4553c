// SPDX-License-Identifier: MIT
#include "switch/network/rpc_methods.h"

#include <algorithm>
#include <array>

namespace lanyard {
namespace {

using enum RpcType;
constexpr bool kRequired = true;
constexpr bool kOptional = false;

constexpr RpcParameter kNetwork{"network", string, kRequired, "network", "name of a network"};
constexpr RpcParameter kAnyNetwork{"network", string, kOptional, "network",
                                   "only this network (all, when not given)"};
constexpr RpcParameter kPort{"port", number, kRequired, "port", "port number"};

constexpr std::array<RpcParameter, 0> kNone{};
constexpr std::array kOneNetwork{kNetwork};
constexpr std::array kMaybeNetwork{kAnyNetwork};
constexpr std::array kNetworkPort{kNetwork, kPort};
constexpr std::array kPortSet{
    kNetwork,
    kPort,
    RpcParameter{"vlan", number, kOptional, "vlan", "VLAN of untagged frames; 4095 for none"},
    RpcParameter{"tagged", string, kOptional, "", "VLANs carried tagged: 10,20-29, or none"},
    RpcParameter{"pass_tags", boolean, kOptional, "", "tags of unknown VLANs are payload"},
    RpcParameter{"queue_bytes", number, kOptional, "", "bound of the outgoing queue"},
};
constexpr std::array kLinkSet{
    kNetwork,
    kPort,
    RpcParameter{"state", string, kRequired, "up down", "up or down: the cable of that port"},
};
constexpr std::array kFdbFlush{
    kNetwork,
    RpcParameter{"port", number, kOptional, "port", "only addresses behind this port"},
};
constexpr std::array kVlan{
    kNetwork,
    RpcParameter{"vlan", number, kRequired, "vlan", "VLAN number, 1 to 4094"},
};
constexpr std::array kLeaseAddress{
    kNetwork,
    RpcParameter{"guest", string, kRequired, "guest", "name or MAC address of a guest"},
};
constexpr std::array kLeaseDelete{
    kNetwork,
    RpcParameter{"address", string, kRequired, "lease", "the leased address"},
};
constexpr std::array kForwardAdd{
    kNetwork,
    RpcParameter{"name", string, kRequired, "", "how to call it"},
    RpcParameter{"from", string, kRequired, "",
                 "[tcp:|udp:][ADDRESS:]PORT[-PORT], IPv6 in brackets, or unix:PATH"},
    RpcParameter{"to", string, kRequired, "guest", "GUEST:PORT; an address, [IPv6] or a name"},
};
constexpr std::array kForwardDelete{
    kNetwork,
    RpcParameter{"name", string, kRequired, "forward", "its name"},
};
constexpr std::array kConfigText{
    RpcParameter{"file", string, kOptional, "file", "configuration file (the running one's)"},
};
constexpr std::array kLogSet{
    RpcParameter{"level", string, kRequired, "error warning notice info debug",
                 "the least important lines that are written"},
};
constexpr std::array kLogShow{
    RpcParameter{"lines", number, kOptional, "", "how many of the last lines (50)"},
};
constexpr std::array kSubscribe{
    RpcParameter{"kinds", string, kOptional, "event", "only these, separated by commas"},
};

constexpr std::array kGuardSet{
    kNetwork,
    kPort,
    RpcParameter{"key", string, kRequired, "guard-key", "which of them, as guard show names them"},
    RpcParameter{"value", string, kRequired, "", "on, off, a number, a rate, a list"},
};
constexpr std::array kBindingSet{
    kNetwork,
    RpcParameter{"address", string, kRequired, "", "an IPv4 or IPv6 address"},
    RpcParameter{"mac", string, kRequired, "", "the MAC address of the guest that has it"},
    RpcParameter{"port", number, kOptional, "port", "only at this port"},
};
constexpr std::array kBindingDelete{
    kNetwork,
    RpcParameter{"address", string, kRequired, "binding", "the bound address"},
};
constexpr std::array kBandwidthSet{
    kNetwork,
    RpcParameter{"group", string, kRequired, "bandwidth-group", "its name; made when it is new"},
    RpcParameter{"rate", string, kRequired, "",
                 "20m: megabits a second (k, m, g); 5M: megabytes (K, M, G); off"},
    RpcParameter{"burst", string, kOptional, "", "bytes at once: 256K"},
};
constexpr std::array kBandwidthDelete{
    kNetwork,
    RpcParameter{"group", string, kRequired, "bandwidth-group", "its name"},
};

constexpr std::array kPluginAdd{
    kNetwork,
    RpcParameter{"plugin", string, kRequired, "",
                 "name or path, and what is said to it: \"pdump; pdump/active 1\""},
};
constexpr std::array kPluginDelete{
    kNetwork,
    RpcParameter{"name", string, kRequired, "plugin", "its name"},
};
constexpr std::array kPluginRun{
    kNetwork,
    RpcParameter{"command", string, kRequired, "plugin-command",
                 "a line, as lanyard-plugins(7) has them: \"pdump/ports 3\""},
};

constexpr std::array kNetworkColumns{
    RpcColumn{"name", "NETWORK"},  RpcColumn{"kind", "KIND"},         RpcColumn{"state", "STATE"},
    RpcColumn{"subnet", "SUBNET"}, RpcColumn{"interface", "HOST"},    RpcColumn{"ports", "PORTS"},
    RpcColumn{"leases", "LEASES"}, RpcColumn{"socket", "PLUG IN AT"},
};
constexpr std::array kPluginColumns{
    RpcColumn{"network", "NETWORK"},
    RpcColumn{"name", "NAME"},
    RpcColumn{"help", "WHAT IT DOES"},
    RpcColumn{"plugin", "LOADED AS"},
};
constexpr std::array kLineColumns{RpcColumn{"line", "LINE"}};
constexpr std::array kPortColumns{
    RpcColumn{"network", "NETWORK"}, RpcColumn{"port", "PORT"},    RpcColumn{"link", "LINK"},
    RpcColumn{"kind", "KIND"},       RpcColumn{"label", "WHO"},    RpcColumn{"vlan", "VLAN"},
    RpcColumn{"tagged", "TAGGED"},   RpcColumn{"in_frames", "IN"}, RpcColumn{"out_frames", "OUT"},
    RpcColumn{"drops", "DROPS"},
};
constexpr std::array kFdbColumns{
    RpcColumn{"network", "NETWORK"}, RpcColumn{"mac", "ADDRESS"}, RpcColumn{"vlan", "VLAN"},
    RpcColumn{"port", "PORT"},       RpcColumn{"age_s", "AGE"},   RpcColumn{"name", "NAME"},
};
constexpr std::array kVlanColumns{
    RpcColumn{"network", "NETWORK"},
    RpcColumn{"vlan", "VLAN"},
    RpcColumn{"untagged", "UNTAGGED PORTS"},
    RpcColumn{"tagged", "TAGGED PORTS"},
};
constexpr std::array kLeaseColumns{
    RpcColumn{"network", "NETWORK"}, RpcColumn{"address", "ADDRESS"},
    RpcColumn{"mac", "MAC"},         RpcColumn{"name", "NAME"},
    RpcColumn{"state", "STATE"},     RpcColumn{"expires", "EXPIRES"},
};
constexpr std::array kForwardColumns{
    RpcColumn{"network", "NETWORK"}, RpcColumn{"name", "NAME"},   RpcColumn{"from", "FROM"},
    RpcColumn{"to", "TO"},           RpcColumn{"flows", "FLOWS"}, RpcColumn{"state", "STATE"},
};
constexpr std::array kFlowColumns{
    RpcColumn{"network", "NETWORK"},     RpcColumn{"transport", "PROTO"},
    RpcColumn{"guest", "GUEST"},         RpcColumn{"host", "HOST SIDE"},
    RpcColumn{"target", "TARGET"},       RpcColumn{"state", "STATE"},
    RpcColumn{"bytes_out", "BYTES OUT"}, RpcColumn{"bytes_in", "BYTES IN"},
    RpcColumn{"engine", "ENGINE"},       RpcColumn{"name", "NAME"},
};
constexpr std::array kGuardColumns{
    RpcColumn{"network", "NETWORK"}, RpcColumn{"port", "PORT"},       RpcColumn{"who", "WHO"},
    RpcColumn{"guards", "GUARDS"},   RpcColumn{"dropped", "DROPPED"},
};
constexpr std::array kBindingColumns{
    RpcColumn{"network", "NETWORK"},   RpcColumn{"address", "ADDRESS"}, RpcColumn{"mac", "MAC"},
    RpcColumn{"vlan", "VLAN"},         RpcColumn{"port", "PORT"},       RpcColumn{"origin", "FROM"},
    RpcColumn{"expires_s", "EXPIRES"},
};
constexpr std::array kBandwidthColumns{
    RpcColumn{"network", "NETWORK"}, RpcColumn{"group", "GROUP"}, RpcColumn{"rate", "RATE"},
    RpcColumn{"burst", "BURST"},     RpcColumn{"ports", "PORTS"},
};
constexpr std::array kLogColumns{RpcColumn{"time", "TIME"}, RpcColumn{"level", "LEVEL"},
                                 RpcColumn{"text", "TEXT"}};
constexpr std::array kChangeColumns{RpcColumn{"change", "CHANGE"}};
constexpr std::array<RpcColumn, 0> kNoColumns{};

constexpr auto kViewer = RpcRole::viewer;
constexpr auto kAdmin = RpcRole::admin;

constexpr std::array kMethods{
    RpcMethod{"bandwidth", "list", kViewer, kMaybeNetwork, "groups", kBandwidthColumns,
              "bandwidth groups and their ports"},
    RpcMethod{"bandwidth", "set", kAdmin, kBandwidthSet, "", kNoColumns,
              "make a bandwidth group, or change what it may send"},
    RpcMethod{"bandwidth", "delete", kAdmin, kBandwidthDelete, "", kNoColumns,
              "remove a bandwidth group without ports"},
    RpcMethod{"binding", "list", kViewer, kMaybeNetwork, "bindings", kBindingColumns,
              "which IP address is whose, for source guard and ARP inspection"},
    RpcMethod{"binding", "set", kAdmin, kBindingSet, "", kNoColumns, "say whose an IP address is"},
    RpcMethod{"binding", "delete", kAdmin, kBindingDelete, "", kNoColumns,
              "take back what was said about an address"},
    RpcMethod{"config", "check", kViewer, kConfigText, "problems", kNoColumns,
              "read a configuration file and say what is wrong with it"},
    RpcMethod{"config", "diff", kViewer, kConfigText, "changes", kChangeColumns,
              "what a reload would change"},
    RpcMethod{"config", "reload", kAdmin, kConfigText, "changes", kChangeColumns,
              "change to what the configuration file says, all of it or nothing"},
    RpcMethod{"config", "dump", kViewer, kNone, "", kNoColumns,
              "what runs, as a configuration file"},
    RpcMethod{"daemon", "status", kViewer, kNone, "networks", kNetworkColumns,
              "the networks, and what is wrong with them"},
    RpcMethod{"daemon", "stop", kAdmin, kNone, "", kNoColumns, "take every network down and end"},
    RpcMethod{"daemon", "upgrade", kAdmin, kNone, "", kNoColumns,
              "go on as the program that is now on disk; guests notice nothing"},
    RpcMethod{"event", "subscribe", kViewer, kSubscribe, "", kNoColumns,
              "stream what happens from now on"},
    RpcMethod{"fdb", "list", kViewer, kMaybeNetwork, "entries", kFdbColumns,
              "which address is behind which port"},
    RpcMethod{"fdb", "flush", kAdmin, kFdbFlush, "", kNoColumns, "forget learned addresses"},
    RpcMethod{"flow", "list", kViewer, kMaybeNetwork, "flows", kFlowColumns,
              "connections of guests through NAT"},
    RpcMethod{"forward", "list", kViewer, kMaybeNetwork, "forwards", kForwardColumns,
              "forwarded ports"},
    RpcMethod{"forward", "add", kAdmin, kForwardAdd, "", kNoColumns,
              "forward a port of the host to a guest"},
    RpcMethod{"forward", "delete", kAdmin, kForwardDelete, "", kNoColumns, "end a forward"},
    RpcMethod{"guard", "list", kViewer, kMaybeNetwork, "ports", kGuardColumns,
              "which guards hold at which port, and what they dropped"},
    RpcMethod{"guard", "show", kViewer, kNetworkPort, "", kNoColumns, "all guards of a port"},
    RpcMethod{"guard", "set", kAdmin, kGuardSet, "", kNoColumns,
              "change a guard of a port, from the next frame on"},
    RpcMethod{"lease", "list", kViewer, kMaybeNetwork, "leases", kLeaseColumns,
              "addresses handed out by DHCP"},
    RpcMethod{"lease", "address", kViewer, kLeaseAddress, "", kNoColumns, "the address of a guest"},
    RpcMethod{"lease", "delete", kAdmin, kLeaseDelete, "", kNoColumns,
              "forget a lease, so that the address is free"},
    RpcMethod{"link", "set", kAdmin, kLinkSet, "", kNoColumns,
              "pull or plug in the cable of a port"},
    RpcMethod{"log", "show", kViewer, kLogShow, "lines", kLogColumns, "the last log lines"},
    RpcMethod{"log", "set", kAdmin, kLogSet, "", kNoColumns, "which lines are logged"},
    RpcMethod{"network", "list", kViewer, kNone, "networks", kNetworkColumns, "the networks"},
    RpcMethod{"network", "show", kViewer, kOneNetwork, "", kNoColumns, "everything about one"},
    RpcMethod{"plugin", "list", kViewer, kMaybeNetwork, "plugins", kPluginColumns,
              "which plugins look at the frames"},
    RpcMethod{"plugin", "add", kAdmin, kPluginAdd, "", kNoColumns, "load a plugin"},
    RpcMethod{"plugin", "delete", kAdmin, kPluginDelete, "", kNoColumns, "unload a plugin"},
    RpcMethod{"plugin", "run", kAdmin, kPluginRun, "lines", kLineColumns,
              "run a command of a plugin"},
    RpcMethod{"port", "list", kViewer, kMaybeNetwork, "ports", kPortColumns,
              "who is plugged in where"},
    RpcMethod{"port", "show", kViewer, kNetworkPort, "", kNoColumns,
              "everything about one, with every kind of drop"},
    RpcMethod{"port", "set", kAdmin, kPortSet, "", kNoColumns, "change a port's settings"},
    RpcMethod{"vlan", "list", kViewer, kMaybeNetwork, "vlans", kVlanColumns, "the VLANs"},
    RpcMethod{"vlan", "create", kAdmin, kVlan, "", kNoColumns, "make a VLAN"},
    RpcMethod{"vlan", "delete", kAdmin, kVlan, "", kNoColumns, "remove a VLAN without members"},
};

constexpr std::array kEventKinds{
    RpcEventKind{"port.up", "somebody has plugged in"},
    RpcEventKind{"port.down", "a port has lost its last peer"},
    RpcEventKind{"link.changed", "a cable was pulled or plugged in"},
    RpcEventKind{"guard.dropped", "a guard has dropped frames of a port; one event for many"},
    RpcEventKind{"guard.shut", "a guard has pulled the cable of a port"},
    RpcEventKind{"station.moved", "an address turned up behind another port"},
    RpcEventKind{"lease.granted", "an address was handed out or renewed"},
    RpcEventKind{"lease.ended", "an address was given back, declined or has expired"},
    RpcEventKind{"lease.refused", "a guest asked for an address and none was left"},
    RpcEventKind{"forward.changed", "a forward was added, removed or has failed"},
    RpcEventKind{"gateway.started", "a gateway serves its network"},
    RpcEventKind{"gateway.ended", "a gateway has ended; another one is being started"},
    RpcEventKind{"network.up", "a network is there"},
    RpcEventKind{"network.down", "a network was taken away"},
    RpcEventKind{"config.changed", "a reload has changed something"},
};

}  // namespace

std::span<const RpcMethod> rpc_methods() {
  return kMethods;
}

const RpcMethod* find_rpc_method(std::string_view name) {
  const auto at = std::find_if(kMethods.begin(), kMethods.end(), [&](const RpcMethod& method) {
    return name.size() == method.object.size() + 1 + method.verb.size() &&
           name.starts_with(method.object) && name[method.object.size()] == '.' &&
           name.ends_with(method.verb);
  });
  return at == kMethods.end() ? nullptr : &*at;
}

std::span<const RpcEventKind> rpc_event_kinds() {
  return kEventKinds;
}

}  // namespace lanyard
