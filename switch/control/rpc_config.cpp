// SPDX-License-Identifier: MIT
//
// Methods about the configuration: what a file says, what a reload would change, what runs.
#include <array>

#include "switch/base/text.h"
#include "switch/control/plugin_file.h"
#include "switch/control/rpc_handlers.h"
#include "switch/control/rpc_params.h"

namespace lanyard {
namespace {

// The file a method is about; answered when there is none.
std::optional<std::string> file_of(RpcCall& call) {
  std::string file = rpc_text(call.params, "file");
  if (file.empty()) file = call.host.config_file();
  if (!file.empty()) return file;
  call.answer.error(
      {RpcCode::failed, "the daemon runs the built-in networks, without a file; name one"});
  return std::nullopt;
}

Json problems_of(const ConfigOutcome& outcome) {
  Json rows = Json::array();
  for (const ConfigProblem& problem : outcome.problems) {
    rows.push_back({{"file", problem.file},
                    {"line", problem.line},
                    {"column", problem.column},
                    {"text", problem.text}});
  }
  return rows;
}

Json rows_of(const std::vector<ConfigChange>& changes) {
  Json rows = Json::array();
  for (const ConfigChange& change : changes) {
    for (const std::string& sentence : change.sentences) {
      rows.push_back({{"network", change.network}, {"change", sentence}});
    }
  }
  return rows;
}

void check(RpcCall& call) {
  const std::optional<std::string> file = file_of(call);
  if (!file) return;
  ConfigOutcome outcome = call.host.read_configuration_file(*file);
  for (std::string& text : plugin_file_problems(outcome.configuration)) {
    outcome.problems.push_back({*file, 0, 0, std::move(text)});
  }
  call.answer.rows("problems", problems_of(outcome));
}

void diff_file(RpcCall& call) {
  const std::optional<std::string> file = file_of(call);
  if (!file) return;
  const ConfigOutcome outcome = call.host.read_configuration_file(*file);
  if (!outcome.problems.empty()) {
    std::string text;
    for (const ConfigProblem& problem : outcome.problems) {
      append(text, "{}{}", text.empty() ? "" : "; ", problem.message());
    }
    return call.answer.error({RpcCode::failed, text});
  }
  call.answer.rows("changes", rows_of(diff(call.host.running(), outcome.configuration)));
}

void reload(RpcCall& call) {
  const std::optional<std::string> file = file_of(call);
  if (!file) return;
  call.host.reload(*file, [answer = call.answer](const Result<std::vector<ConfigChange>>& changes) {
    if (!changes) {
      RpcError error = rpc_error_of(changes.error());
      // The file is wrong, not the question.
      if (error.code == RpcCode::invalid_params) error.code = RpcCode::failed;
      return answer.error(error);
    }
    answer.rows("changes", rows_of(changes.value()));
  });
}

void dump(RpcCall& call) {
  call.answer.result({{"text", config_text(call.host.running())}});
}

constexpr std::array kRows{
    RpcHandlerRow{"config.check", check}, RpcHandlerRow{"config.diff", diff_file},
    RpcHandlerRow{"config.reload", reload}, RpcHandlerRow{"config.dump", dump}};

}  // namespace

std::span<const RpcHandlerRow> rpc_config_handlers() {
  return kRows;
}

}  // namespace lanyard
