.set ORG, 0xfe00
    .section .text
    .globl _start
    .code16
_start:
    cli
    ljmpw $0xf000, $(ORG + low - _start)
low:
    xorw %ax, %ax
    movw %ax, %ds
    movl $0x2003, 0x1000
    movl $0x3003, 0x2000
    movl $0x0083, 0x3000
    movl $0x4003, 0x2018
    movl $0xfee0009b, 0x4fb8
    lgdtl %cs:gdtr - _start + ORG
    movl $0x20, %eax
    movl %eax, %cr4
    movl $0x1000, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    xorl %edx, %edx
    movl $0x100, %eax
    wrmsr
    movl $0x80000011, %eax
    movl %eax, %cr0
    ljmpl $8, $(0xf0000 + ORG + long - _start)
    .code64
long:
    movw $0x10, %ax
    movw %ax, %ss
    movw %ax, %ds
    movl $0x9000, %esp
    movl $(0xf0000 + ORG + tick - _start), %eax
    movw %ax, 0x5200
    movw $8, 0x5202
    movw $0x8e00, 0x5204
    shrl $16, %eax
    movw %ax, 0x5206
    lidt idtr(%rip)
    movl $0xfee00000, %esi
    movl $0x1ff, 0xf0(%rsi)
    movl $0xb, 0x3e0(%rsi)
    movl $0x20020, 0x320(%rsi)
    movl $100000, 0x380(%rsi)
    xorl %ebx, %ebx
    sti
2:  hlt
    cmpl $20, %ebx
    jb 2b
    movl $50000000, %ecx
4:  decl %ecx
    jnz 4b
    movb $0x2a, %al
    outb %al, $0xf4
3:  hlt
    jmp 3b
tick:
    incl %ebx
    movl $0, 0xb0(%rsi)
    iretq
    .balign 8
gdt: .quad 0, 0x00209b0000000000, 0x0000930000000000
gdtr: .word 23
    .long 0xf0000 + ORG + gdt - _start
idtr: .word 0x20f
    .quad 0x5000
