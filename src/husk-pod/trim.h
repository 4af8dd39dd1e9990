/* trim.h - a supervisor that has become quiet gives back the memory it needed to become so. */
#pragma once

/* Returns freed heap, the unused part of the stack, and the pages of the program and its libraries that were mapped
 * (each fault maps sixteen) to start a pod: they stay in the page cache, shared by all supervisors, and those that are
 * needed to watch the pod come back by minor faults. */
void memory_trim(void);
