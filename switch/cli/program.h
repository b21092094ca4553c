// SPDX-License-Identifier: MIT
//
// `lanyard`: from words to an exit status. What is asked of the daemon goes through the table of
// methods; shortcuts have a function each. Single thread.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "switch/cli/command_line.h"
#include "switch/cli/rpc_client.h"

namespace lanyard {

class Program {
 public:
  explicit Program(CommandLine line);

  ExitCode run();

 private:
  // ---- shortcuts (program_shortcuts.cpp, program_up.cpp) ----
  ExitCode run_shortcut();
  ExitCode up();
  ExitCode down();
  ExitCode check();
  ExitCode diff_running(RpcClientSocket& daemon, const std::string& file);
  ExitCode watch();
  std::optional<RpcClientSocket> watch_again(const Json& params) const;
  ExitCode qemu();
  ExitCode doctor();
  ExitCode completion();
  ExitCode help();

  ExitCode call(const RpcMethod& method, Json params);
  ExitCode fail(const RpcError& error) const;
  ExitCode usage(const std::string& complaint) const;
  void print(const RpcMethod& method, const Json& result) const;
  std::optional<RpcClientSocket> connect(ExitCode& code) const;
  std::string first_argument_as_path() const;

  CommandLine line_;
  std::string control_;
};

// Standard output, and nothing else; a closed pipe is no error of ours.
void print_out(std::string_view text);

// How long the daemon may take: a reload starts and stops gateways.
constexpr std::chrono::milliseconds kRpcTimeout{30000};

// As the daemon, which has another current directory, needs it.
std::string absolute_path(const std::string& path);

// The words behind `__complete`.
ExitCode complete_words(const std::vector<std::string>& words);

}  // namespace lanyard
