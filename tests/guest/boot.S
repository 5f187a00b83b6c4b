/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program that firmware loads to 7C00h: it adds up what the firmware reads
 * for it, as little-endian 32-bit words, and prints the sum on COM1.
 *
 * With DISK it is a boot sector and reads the DISK sectors that follow it,
 * one by one, by INT 13h. With NET it is a network boot program, and what it
 * adds up is the NET bytes that were loaded behind its own 512.
 */
        .code16
        .globl _start

        .set BUFFER, 0x8000
        .set COM1, 0x3f8

_start:
        ljmp $0, $begin
begin:
        xorw %ax, %ax
        movw %ax, %ds
        movw %ax, %es
        movw %ax, %ss
        movw $0x7c00, %sp
        movb %dl, drive
        cld
        xorl %ebx, %ebx
#ifdef DISK
        movw $DISK, %di
sector:
        movb $0x42, %ah                 /* extended read */
        movb drive, %dl
        movw $packet, %si
        pushl %ebx
        pushw %di
        int $0x13
        popw %di
        popl %ebx
        jc failed
        movw $BUFFER, %si
        movw $128, %cx
        call add_up
        incl block
        decw %di
        jnz sector
#else
        movw $(0x7c00 + 512), %si
        movw $(NET / 4), %cx
        call add_up
#endif
        movw $summed, %si
        call print
        movw $8, %cx
digit:
        roll $4, %ebx
        movb %bl, %al
        andb $15, %al
        addb $'0', %al
        cmpb $('9' + 1), %al
        jb put_digit
        addb $('a' - '9' - 1), %al
put_digit:
        call put
        loop digit
        movw $end, %si
        call print
stop:
        hlt
        jmp stop

failed:
        movw $error, %si
        call print
        jmp stop

add_up:                                 /* %cx words at %si */
        lodsl
        addl %eax, %ebx
        loop add_up
        ret

print:
        lodsb
        testb %al, %al
        jz printed
        call put
        jmp print
printed:
        ret

put:
        pushw %ax
        movw $(COM1 + 5), %dx
busy:
        inb %dx, %al
        testb $0x20, %al
        jz busy
        popw %ax
        movw $COM1, %dx
        outb %al, %dx
        ret

summed: .asciz "vadis sum "
error:  .asciz "vadis read error\r\n"
end:    .asciz ".\r\n"
drive:  .byte 0
packet: .byte 16, 0
        .word 1, BUFFER, 0
block:  .long 1, 0

        .org 510
        .word 0xaa55
