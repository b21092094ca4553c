// SPDX-License-Identifier: MIT
//
// Methods about the process: status, end, events, log.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "switch/base/sandbox_status.h"
#include "switch/base/text.h"
#include "switch/base/version.h"
#include "switch/control/rpc_handlers.h"
#include "switch/control/rpc_params.h"
#include "switch/control/rpc_server.h"

namespace lanyard {
namespace {

// What is gathered from several gateways before the answer goes out: with the last reference.
struct Status {
  RpcAnswer answer;
  Json networks = Json::array();
  Json warnings = Json::array();
  Json head;

  explicit Status(RpcAnswer to) : answer(std::move(to)) {}
  Status(const Status&) = delete;
  Status& operator=(const Status&) = delete;
  ~Status() {
    answer.attempt([this] {
      head["warnings"] = std::move(warnings);
      answer.rows("networks", std::move(networks), std::move(head));
    });
  }
  void warn(const std::string& network, std::string_view text) {
    warnings.push_back({{"network", network}, {"text", text}});
  }
};

// How long frames had to wait for something else, at most.
Json turns(const TurnTimes& times) {
  return {{"count", times.turns()},
          {"median_us", times.quantile_us(0.5)},
          {"p99_us", times.quantile_us(0.99)},
          {"p9999_us", times.quantile_us(0.9999)},
          {"longest_us", times.longest_us()}};
}

// A process of ours and what confines it, as the kernel says.
Json process_row(std::string what, pid_t pid) {
  const std::optional<SandboxStatus> status = read_sandbox_status(pid);
  Json row{{"process", std::move(what)}, {"pid", pid}};
  if (!status) return row;
  row["seccomp"] = status->seccomp == SandboxStatus::Filter::none ? "none" : "filter";
  row["no_new_privileges"] = status->no_new_privileges;
  row["capabilities"] = capability_names(status->capabilities);
  row["sandbox"] = status->text();
  return row;
}

void status(RpcCall& call) {
  const auto gathered = std::make_shared<Status>(call.answer);
  gathered->head = {{"version", LANYARD_VERSION},
                    {"pid", ::getpid()},
                    {"file", call.host.config_file()},
                    {"uptime_s", whole_seconds(call.host.loop().now() - call.host.started())},
                    {"turns", turns(call.host.loop().turn_times())},
                    {"landlock", call.host.landlock()},
                    {"processes", Json::array({process_row("switch", ::getpid())})}};
  if (const pid_t pid = call.host.spawner(); pid > 0) {
    gathered->head["processes"].push_back(process_row("spawner", pid));
  }
  for (const std::string& obstacle : call.host.obstacles_to_sandbox()) {
    gathered->warn("", fmt::format("the switch process began without a sandbox: {}", obstacle));
  }
  for (RpcNetwork* network : call.host.networks()) {
    gathered->networks.push_back(network_row(*network));
    const std::string name = network->config().name;
    for (const std::string& warning : network->warnings()) gathered->warn(name, warning);
    if (!network->gateway().wanted) continue;
    if (const pid_t pid = network->gateway().pid; pid > 0) {
      gathered->head["processes"].push_back(process_row(fmt::format("gateway {}", name), pid));
    }
    network->ask_gateway("status", Json::object(),
                         [gathered, name](const RpcError* error, const Json& result) {
                           if (error != nullptr) return gathered->warn(name, error->message);
                           if (!result.is_object() || !result.contains("warnings")) return;
                           for (const Json& warning : result["warnings"]) {
                             if (!warning.is_string()) continue;
                             gathered->warn(name, warning.get<std::string>());
                           }
                         });
  }
}

// Whoever waits for the end waits for these: the interfaces are there until the last has ended.
void stop(RpcCall& call) {
  Json processes = Json::array({call.host.lasting_process()});
  if (const pid_t pid = call.host.spawner(); pid > 0) processes.push_back(pid);
  call.answer.result({{"processes", processes}});
  call.host.stop();
}

void upgrade(RpcCall& call) {
  call.host.upgrade([answer = call.answer](const Result<void>& done) {
    if (done) return answer.done();
    answer.error(RpcError{RpcCode::failed, done.error().text});
  });
}

void subscribe(RpcCall& call) {
  std::vector<std::string_view> known;
  for (const RpcEventKind& kind : rpc_event_kinds()) known.push_back(kind.kind);
  std::set<std::string, std::less<>> kinds;
  const std::string text = rpc_text(call.params, "kinds");
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(','), rest.size());
    const std::string_view kind = trim(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (kind.empty()) continue;
    if (std::find(known.begin(), known.end(), kind) == known.end()) {
      const std::string_view near = nearest_word(kind, known);
      return call.answer.error({RpcCode::invalid_params,
                                fmt::format("there are no events of kind '{}'{}{}", printable(kind),
                                            near.empty() ? "" : "; did you mean ", near)});
    }
    kinds.emplace(kind);
  }
  call.answer.done();
  call.session.subscribe(std::move(kinds));
}

void log_show(RpcCall& call) {
  std::size_t wanted = 50;
  if (call.params.contains("lines")) {
    const Result<std::int64_t> number = rpc_number(call.params, "lines", 1, LogRing::kLines);
    if (!number) return call.answer.error(number.error());
    wanted = static_cast<std::size_t>(number.value());
  }
  const auto& lines = call.host.log().lines();
  Json rows = Json::array();
  for (std::size_t i = lines.size() - std::min(wanted, lines.size()); i < lines.size(); ++i) {
    rows.push_back({{"time", utc_text(lines[i].time)},
                    {"level", log_level_name(lines[i].level)},
                    {"text", lines[i].text}});
  }
  call.answer.rows("lines", std::move(rows));
}

void log_set(RpcCall& call) {
  const std::string name = rpc_text(call.params, "level");
  const std::optional<LogLevel> level = parse_log_level(name);
  if (!level) {
    return call.answer.error(
        {RpcCode::invalid_params, fmt::format("'{}' is no level; there are error, warning, notice, "
                                              "info and debug",
                                              printable(name))});
  }
  call.host.log().set_level(*level);
  call.answer.done();
}

constexpr std::array kRows{
    RpcHandlerRow{"daemon.status", status},   RpcHandlerRow{"daemon.stop", stop},
    RpcHandlerRow{"daemon.upgrade", upgrade}, RpcHandlerRow{"event.subscribe", subscribe},
    RpcHandlerRow{"log.show", log_show},      RpcHandlerRow{"log.set", log_set}};

}  // namespace

std::span<const RpcHandlerRow> rpc_daemon_handlers() {
  return kRows;
}

}  // namespace lanyard
