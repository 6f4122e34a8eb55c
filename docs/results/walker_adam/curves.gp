# gnuplot curves.gp makes curves.svg; with -e "format='png'", curves.png
if (!exists("format")) format = 'svg'
if (format eq 'svg') {
  set terminal svg noenhanced background 'white' size 900,600
} else {
  if (strstrt(GPVAL_TERMINALS, 'pngcairo')) {
    set terminal pngcairo noenhanced size 900,600
  } else {
    set terminal png noenhanced size 900,600
  }
}
set output 'curves.'.format
set datafile separator ','
heading = "Return of the policy without exploration"."\n"."PPO with Adam on BipedalWalker-v3, beside a published score; cpu scale (2031616 steps, 3 seeds)"
set label 1 heading at screen 0.5, screen 0.97 center
set tmargin 4
set xlabel 'environment steps'
set ylabel 'return without exploration'
set key bottom right
of(l, c) = strcol(1) eq l ? column(c) : NaN
plot 'curves.csv' using 2:(of('0', 4)) every ::1 with lines lw 2 title 'seed 0', 'curves.csv' using 2:(of('1', 4)) every ::1 with lines lw 2 title 'seed 1', 'curves.csv' using 2:(of('2', 4)) every ::1 with lines lw 2 title 'seed 2', 200 dt 2 lc 'black' title '200'
