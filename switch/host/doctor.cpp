// SPDX-License-Identifier: MIT
#include "switch/host/doctor.h"

#include <dlfcn.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "switch/base/sandbox_status.h"
#include "switch/base/text.h"
#include "switch/base/unix_socket.h"
#include "switch/host/doctor_checks.h"
#include "switch/host/legacy_tables.h"
#include "switch/host/ruleset.h"
#include "switch/host/run_program.h"
#include "switch/host/sysctl.h"

namespace lanyard {
namespace doctor {

void check_forwarding(const DoctorContext& context, Findings& findings) {
  if (!any_of_kind(context, NetworkKind::routed)) return;
  const auto on = read_setting(context.root + "/proc/sys/net/ipv4/ip_forward");
  if (on == "1") {
    ok(findings, "net.ipv4.ip_forward is 1");
  } else if (context.privileged) {
    note(findings, "net.ipv4.ip_forward is 0; lanyard sets it while a routed network is up",
         "lanyard up   # or for good: sysctl -w net.ipv4.ip_forward=1");
  } else {
    problem(findings, "net.ipv4.ip_forward is 0: nothing is routed",
            "sysctl -w net.ipv4.ip_forward=1");
  }
}

namespace {

// The lines that let all routed networks through, for pasting.
std::string lines_for(const DroppingChain& chain, const DoctorContext& context) {
  std::string lines;
  for (const NetworkConfig& network : context.networks) {
    if (network.kind != NetworkKind::routed) continue;
    const Result<RoutedNetwork> routed = routed_network(network);
    if (routed) lines += accept_in(chain, routed.value());
  }
  return fmt::format("nft '{}'", trim(lines));
}

void check_legacy(const DoctorContext& context, Findings& findings) {
  const LegacyTables legacy(context.run, context.root);
  for (const NetworkConfig& network : context.networks) {
    if (network.kind != NetworkKind::routed) continue;
    const Result<RoutedNetwork> routed = routed_network(network);
    if (!routed) continue;
    const std::string lines = legacy.lines_for(routed.value());
    if (lines.empty()) continue;
    note(findings,
         fmt::format("FORWARD of iptables-legacy drops what network {} forwards; lanyard adds "
                     "rules there while it is up",
                     network.name),
         lines);
  }
}

}  // namespace

void check_forward_policy(const DoctorContext& context, Findings& findings) {
  if (!any_of_kind(context, NetworkKind::routed)) return;
  check_legacy(context, findings);
  const auto listed = context.run({"nft", "-j", "list", "chains"});
  const Result<Json> json = parse_json(listed.value_or(""));
  if (!json || !json.value().is_object() || !json.value().contains("nftables")) {
    note(findings,
         "the packet filter cannot be listed, so whether it drops what is forwarded is "
         "not known",
         "sudo lanyard doctor");
    return;
  }
  bool drops = false;
  for (const DroppingChain& chain : dropping_chains(json.value().at("nftables"))) {
    if (chain.table.starts_with(kTablePrefix)) continue;
    const std::string lines = lines_for(chain, context);
    drops = true;
    const std::string where = fmt::format("{} {} {}", chain.family, chain.table, chain.chain);
    if (chain.is_iptables) {
      note(findings,
           fmt::format("FORWARD drops by default (Docker sets that); lanyard adds two rules to {} "
                       "while a routed network is up",
                       where),
           lines);
    } else {
      problem(findings, fmt::format("chain {} drops what is forwarded", where), lines);
    }
  }
  if (!drops) ok(findings, "the packet filter drops nothing forwarded by default");
}

void check_overlaps(const DoctorContext& context, Findings& findings) {
  bool any = false;
  for (const NetworkConfig& network : context.networks) {
    for (const std::string& text : overlaps(network, context.ranges, 0)) {
      any = true;
      const std::string what = fmt::format("network {}: {}", network.name, text);
      const std::string remedy =
          fmt::format("lanyard check   # after choosing another subnet for {}", network.name);
      // The range of a nat network is only inside; what the host has there guests do not reach.
      if (network.host) {
        problem(findings, what, remedy);
      } else {
        note(findings, what, remedy);
      }
    }
  }
  if (!any) ok(findings, "no network overlaps an address or route of this host");
}

void check_libslirp(const DoctorContext& context, Findings& findings) {
  if (!any_of_kind(context, NetworkKind::nat)) return;
  const std::string remedy = "apt-get install libslirp0";
  if (context.libslirp_version.empty()) {
    problem(findings, "libslirp is not there: no network translates addresses", remedy);
    return;
  }
  const std::string_view version = context.libslirp_version;
  const auto major = parse_integer(version.substr(0, version.find('.')));
  const std::string_view rest = version.substr(std::min(version.find('.'), version.size() - 1) + 1);
  const auto minor = parse_integer(rest.substr(0, rest.find('.')));
  if (!major || !minor || *major < 4 || (*major == 4 && *minor < 7)) {
    problem(findings, fmt::format("libslirp {} is too old; 4.7.0 is needed", printable(version)),
            remedy);
  } else {
    ok(findings, fmt::format("libslirp {}", version));
  }
}

void check_qemu(const DoctorContext& context, Findings& findings) {
  const auto help = context.run({"qemu-system-x86_64", "-netdev", "help"});
  if (!help) return;
  const bool has_vde = help->find("\nvde\n") != std::string::npos || help->starts_with("vde\n");
  if (has_vde) {
    ok(findings, "qemu-system-x86_64 knows -netdev vde");
  } else {
    problem(findings, "qemu-system-x86_64 was built without -netdev vde",
            "apt-get install qemu-system-x86   # Debian's has it");
  }
}

void check_daemon(const DoctorContext& context, Findings& findings) {
  if (context.control_socket.empty()) return;
  if (context.answers(context.control_socket)) {
    ok(findings, fmt::format("lanyardd answers at {}", context.control_socket));
  } else {
    note(findings, fmt::format("no lanyardd answers at {}", context.control_socket), "lanyard up");
  }
}

}  // namespace doctor

std::vector<DoctorFinding> run_doctor(const DoctorContext& context) {
  constexpr std::array kChecks{
      &doctor::check_rights,         &doctor::check_tun,
      &doctor::check_overlaps,       &doctor::check_forwarding,
      &doctor::check_forward_policy, &doctor::check_resolver,
      &doctor::check_ipv6,           &doctor::check_libslirp,
      &doctor::check_ping,           &doctor::check_queue_length,
      &doctor::check_socket_buffers, &doctor::check_descriptors,
      &doctor::check_qemu,           &doctor::check_daemon,
      &doctor::check_landlock,       &doctor::check_sandboxes,
  };
  std::vector<DoctorFinding> findings;
  for (const auto check : kChecks) check(context, findings);
  std::stable_sort(
      findings.begin(), findings.end(),
      [](const DoctorFinding& a, const DoctorFinding& b) { return a.level > b.level; });
  return findings;
}

namespace {

// The effective capabilities of this process, as proc(5) shows them.
bool may_administer_networks() {
  const std::string status = read_setting("/proc/self/status").value_or("");
  const std::size_t at = status.find("CapEff:\t");
  if (at == std::string::npos) return false;
  const auto set = parse_integer("0x" + status.substr(at + 8, 16));
  return set && (*set >> CAP_NET_ADMIN & 1) != 0;
}

std::string version_of_libslirp() {
  void* const library = ::dlopen("libslirp.so.0", RTLD_LAZY | RTLD_LOCAL);
  if (library == nullptr) return {};
  std::string version;
  using VersionString = const char* (*)();
  const auto ask = reinterpret_cast<VersionString>(::dlsym(library, "slirp_version_string"));
  if (ask != nullptr) version = ask();
  ::dlclose(library);
  return version;
}

}  // namespace

DoctorContext doctor_context_of_this_host(std::vector<NetworkConfig> networks,
                                          std::string control_socket) {
  DoctorContext context;
  context.networks = std::move(networks);
  context.control_socket = std::move(control_socket);
  if (Result<std::vector<HostRange>> ranges = read_host_ranges()) context.ranges = ranges.take();
  context.privileged = may_administer_networks();
  const passwd* const user = ::getpwuid(::getuid());
  context.user = user != nullptr ? user->pw_name : std::to_string(::getuid());
  std::array<gid_t, 1024> groups{};
  const int count = ::getgroups(static_cast<int>(groups.size()), groups.data());
  context.groups.assign(groups.begin(), groups.begin() + std::max(count, 0));
  context.groups.push_back(::getegid());
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) context.descriptors_max = limit.rlim_max;
  context.libslirp_version = version_of_libslirp();
  context.landlock = landlock_version();
  context.run = run_program;
  context.answers = [](const std::string& path) { return socket_answers(path, SOCK_STREAM); };
  return context;
}

}  // namespace lanyard
