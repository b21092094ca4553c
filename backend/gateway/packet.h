// SPDX-License-Identifier: MIT
//
// Packets as guests send them and as we build them. Any thread.
#pragma once
