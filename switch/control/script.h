// SPDX-License-Identifier: MIT
//
// A file of commands that a console was told to `load`, run a slice at a time.
//
// What makes it hard: frames wait for whoever runs commands, and a file may have thousands of them,
// or lists of 65,536 addresses. So a script stops within a slice, also in the midst of a list, and
// goes on in a later round of the loop. And files may load files: those that load each other would
// never end, so none is run while it is running already, and chains of others are bounded in depth
// and in lines. Lane thread only.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "switch/base/result.h"
#include "switch/base/time.h"
#include "switch/control/command.h"
#include "switch/runtime/handover.h"

namespace lanyard {

class Script {
 public:
  // Reads the file. An error is the status of the command that named it.
  static Result<std::unique_ptr<Script>> open(const CommandContext& context,
                                              const std::string& path);
  Script(const Script&) = delete;
  Script& operator=(const Script&) = delete;

  // Another file, for a line of this script: its lines and its status come before the next line.
  Result<void> enter(const std::string& path);

  // Runs commands until the slice is over or `text` has grown by `enough`, and appends what they
  // say, each with its status. False when all have run.
  bool run(std::string& text, Duration slice, std::size_t enough);

  // The rest of it, for the same conversation of a successor process. What is said of the line that
  // runs is appended first.
  HandoverPart handover(std::string& text);
  static std::unique_ptr<Script> resume(const CommandContext& context, const HandoverPart& part);

  const std::string& path() const { return path_; }

 private:
  struct File {
    std::string path;
    std::string text;
    std::size_t at = 0;
    dev_t device = 0;
    ino_t inode = 0;
    Result<void> status = {};
  };

  explicit Script(const CommandContext& context) : context_(context) { context_.script = this; }
  void step(std::string& text);
  void run_line(const std::string& path, std::string_view line, std::string& text);

  CommandContext context_;
  std::string path_;
  std::vector<File> files_;     // the one that runs is the last
  Reply::Producer producer_;    // the rest of a line's reply
  std::string after_producer_;  // its end and its status
  int lines_ = 0;               // run so far, of all files
};

}  // namespace lanyard
